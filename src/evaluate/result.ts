/** What a method's windows come to. */
import {readReductions, type ReadSums} from '../selection/key_reads.js';
import {BUCKETS, bucketStart, type ScoreSums} from './scores.js';

/** One method on one window: a line of `windows.jsonl`. All numbers are sums, so that windows add up. */
export interface WindowRecord {
  /** Tells method, models, layer map, prompt and tokens from all others: a run that goes on skips what has its key. */
  key: string;
  /** As it was asked for. */
  method: string;
  text: string;
  /** Character of the text at which the window begins. */
  from: number;
  scores: ScoreSums;
  reads: ReadSums;
  seconds: number;
}

export interface MethodResult {
  /** As it was asked for. */
  method: string;
  /** Of a decoded token. */
  perplexity: number;
  /** Perplexity against dense attention's on the same windows, less 1; and its standard error over windows, where there are several. */
  change: number;
  changeError?: number;
  /** 1 - kept keys / visible keys, over the decoded rows of the sparse layers; 0 where there are none. */
  kvReduction: number;
  /** The same over all layers, the dense ones with every key kept. */
  kvReductionAll: number;
  /** `kvReduction` with what the method reads of the cache to choose (Quest's pages) counted as keys. */
  readReduction: number;
  /**
   * Bytes that verification moves for a decoded token: keys and values (a block's union once in a sparse layer, every key in a dense one), lists
   * of keys, and what choosing reads; for blocks that are accepted whole.
   */
  bytesPerToken: number;
  /** 1 - that / the same with every key read. */
  bytesReduction: number;
  /** Share of positions whose likeliest token is dense attention's. */
  agreement: number;
  /** How the draft would fare; undefined without one. */
  acceptance?: {
    /** Share of drafted tokens that are accepted at temperature 1 (the mean of Σ min(p, q)), and at temperature 0. */
    sampled: number;
    greedy: number;
    /** Drafted tokens accepted a block of `gamma`, expected. */
    sampledLength: number;
    greedyLength: number;
    gamma: number;
  };
  /** Perplexity by position of the token, `from` up to and without `to`. */
  positions: {from: number; to: number; perplexity: number}[];
  windows: number;
  /** Decoded tokens in all. */
  tokens: number;
  seconds: number;
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

/** A window's mean log-loss. */
const loss = ({scores}: WindowRecord) => sum(scores.nll) / sum(scores.tokens);

/**
 * @param records the method's, a window each
 * @param dense those of dense attention on the same windows, in the same order
 * @param gamma tokens that a full block drafts
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

/** Of the mean. */
function standardError(values: readonly number[]): number {
  const mean = sum(values) / values.length;
  const variance = sum(values.map((value) => (value - mean) ** 2)) / (values.length - 1);
  return Math.sqrt(variance / values.length);
}
