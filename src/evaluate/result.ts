/** The records of windows, and the results of a method that are computed from them. */
import {readReductions, type ReadSums} from '../selection/key_reads.js';
import {BUCKETS, bucketStart, type ScoreSums} from './scores.js';

/**
 * One method on one window: a line of `windows.jsonl`. Scores and reads are sums, so that the records of windows can be
 * added.
 */
export interface WindowRecord {
  /**
   * A hash of the method, the models, the layer map, the prompt's length and the tokens. A run that goes on skips what
   * has a record.
   */
  key: string;
  /** The method as the user wrote it. */
  method: string;
  /** Name of the text. */
  text: string;
  /** Character of the text at which the window begins. */
  from: number;
  scores: ScoreSums;
  reads: ReadSums;
  seconds: number;
}

export interface MethodResult {
  /** The method as the user wrote it. */
  method: string;
  /** Perplexity of the decoded tokens. */
  perplexity: number;
  /** Perplexity divided by that of dense attention on the same windows, minus 1. */
  change: number;
  /** Standard error of `change` over windows; undefined for a single window. */
  changeError?: number;
  /** 1 - kept keys / visible keys, over the decoded rows of the sparse layers; 0 where there are none. */
  kvReduction: number;
  /** The same over all layers; dense layers keep every key. */
  kvReductionAll: number;
  /** `kvReduction` where what the method reads of the cache to choose keys (Quest's bounds of pages) counts as keys, too. */
  readReduction: number;
  /**
   * Bytes that verification moves for a decoded token, where every block is accepted whole: keys and values (in a
   * sparse layer the union of a block's keys once, in a dense layer every key), lists of keys, and what choosing keys
   * reads.
   */
  bytesPerToken: number;
  /** 1 - bytes moved / bytes that dense attention would read. */
  bytesReduction: number;
  /** Share of positions whose likeliest token is also the likeliest under dense attention. */
  agreement: number;
  /** How many drafted tokens would be accepted; undefined without a draft. */
  acceptance?: {
    /** Share of drafted tokens accepted at temperature 1: the mean of Σ min(p, q) over positions. */
    sampled: number;
    /** Share of drafted tokens accepted at temperature 0. */
    greedy: number;
    /** Expected number of accepted tokens of a round of `gamma` drafted tokens, at temperature 1. */
    sampledLength: number;
    /** The same at temperature 0. */
    greedyLength: number;
    gamma: number;
  };
  /** Perplexity by position of the token, from `from` to `to` - 1. */
  positions: {from: number; to: number; perplexity: number}[];
  windows: number;
  /** Decoded tokens in all. */
  tokens: number;
  seconds: number;
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

/** Mean negative log-likelihood of a window's tokens, in nats. */
const loss = ({scores}: WindowRecord) => sum(scores.nll) / sum(scores.tokens);

/**
 * Adds up the records of a method.
 * @param records one record for each window
 * @param dense the records of dense attention on the same windows, in the same order
 * @param gamma drafted tokens of a full block
 */
export function summarise(
  method: string,
  records: readonly WindowRecord[],
  dense: readonly WindowRecord[],
  {gamma, prompt, window}: {gamma: number; prompt: number; window: number},
): MethodResult {
  const scored = <K extends keyof ScoreSums>(name: K) => records.map(({scores}) => scores[name]);
  const score = (name: Exclude<keyof ScoreSums, 'nll' | 'tokens'>) => sum(scored(name));
  const reads = addUp(records.map(({reads}) => reads));
  const tokens = sum(scored('tokens').flat());
  const nll = sum(scored('nll').flat());
  const denseNll = sum(dense.flatMap(({scores}) => scores.nll));
  const change = Math.exp((nll - denseNll) / tokens) - 1;
  const moved = reads.bytes + reads.bytesLists + reads.bytesMetadata;
  const drafted = score('drafted');
  const blocks = score('blocks');
  return {
    method,
    perplexity: Math.exp(nll / tokens),
    change,
    ...(records.length > 1 && {
      changeError: (1 + change) * standardError(records.map((record, i) => loss(record) - loss(dense[i]))),
    }),
    ...readReductions(reads),
    bytesPerToken: moved / tokens,
    bytesReduction: 1 - moved / reads.bytesDense,
    agreement: score('agreed') / tokens,
    ...(drafted > 0 && {
      acceptance: {
        sampled: score('overlap') / drafted,
        greedy: score('greedyOverlap') / drafted,
        sampledLength: blocks ? score('acceptedLength') / blocks : 0,
        greedyLength: blocks ? score('greedyAcceptedLength') / blocks : 0,
        gamma,
      },
    }),
    positions: Array.from({length: BUCKETS}, (_, i) => ({
      from: bucketStart(i, prompt, window),
      to: bucketStart(i + 1, prompt, window),
      perplexity: Math.exp(sum(scored('nll').map((nll) => nll[i])) / sum(scored('tokens').map((n) => n[i]))),
    })).filter(({from, to}) => to > from),
    windows: records.length,
    tokens,
    seconds: sum(records.map(({seconds}) => seconds)),
  };
}

function addUp(all: readonly ReadSums[]): ReadSums {
  const total = {...all[0]};
  for (const reads of all.slice(1))
    for (const name of Object.keys(total) as (keyof ReadSums)[]) total[name] += reads[name];
  return total;
}

/** The standard error of the mean. */
function standardError(values: readonly number[]): number {
  const mean = sum(values) / values.length;
  const variance = sum(values.map((value) => (value - mean) ** 2)) / (values.length - 1);
  return Math.sqrt(variance / values.length);
}
