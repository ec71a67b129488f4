/**
 * Times whole answers of `generate`: plain decoding, speculation with dense verification, and sparse verification. The modes take
 * turns, so that load from other programs slows all of them alike.
 */
import type {GenerateOptions, GenerateStats, LanguageModel} from '../src/index.js';
import {median, round} from './statistics.js';

/** The modes by name. Every ratio compares with `plain`. */
const MODES: Record<string, GenerateOptions> = {
  plain: {draft: false},
  'dense, gamma adaptive': {verification: 'dense', gamma: 'adaptive'},
  'dense, gamma 2': {verification: 'dense', gamma: 2},
  'dense, gamma 4': {verification: 'dense', gamma: 4},
  'sparse p 0.95, gamma adaptive': {verification: 'sparse', p: 0.95, gamma: 'adaptive'},
  'sparse p 0.95, gamma 4': {verification: 'sparse', p: 0.95, gamma: 4},
};

export interface DecodeRow {
  prompt: string;
  /** Number of prompt tokens. */
  context: number;
  mode: string;
  tokensPerSecond: number;
  /** Median over runs of this mode's tokens per second divided by those of plain decoding in the same run. */
  timesPlain: number;
  /** Accepted drafted tokens / drafted tokens. */
  acceptance: number;
  acceptedPerRound: number;
  kvReduction: number;
  msPerRound: number;
  /**
   * Share of the decoding time by phase. `host` is the remainder: reading tokens, making text, the event loop, and
   * recording captures, which happens once for each kind of round.
   */
  share: Record<'draft' | 'select' | 'verify' | 'accept' | 'host', number>;
}

/**
 * Checks that greedy plain decoding, dense verification and sparse verification with p = 1 write the same tokens.
 * @throws Error naming the options and the prompt that wrote other tokens
 */
export async function refcheckDecode(lm: LanguageModel, prompts: Record<string, string>): Promise<void> {
  for (const [name, prompt] of Object.entries(prompts)) {
    const expected = await lm.generate(prompt, {maxNewTokens: 64, draft: false});
    for (const options of [
      {verification: 'dense', gamma: 3},
      {verification: 'dense', gamma: 'adaptive'},
      {verification: 'sparse', p: 1, gamma: 4},
    ] as GenerateOptions[]) {
      const {tokens} = await lm.generate(prompt, {maxNewTokens: 64, ...options});
      if (tokens.join() !== expected.tokens.join())
        throw new Error(
          `[bench] ${JSON.stringify(options)} on prompt '${name}' wrote other tokens than plain decoding`,
        );
    }
  }
}

/**
 * Decodes after every prompt in every mode.
 * @param tokens new tokens of one run
 * @param runs timed runs of each mode, after one run that is not counted
 */
export async function benchDecode(
  lm: LanguageModel,
  prompts: Record<string, string>,
  {tokens = 200, runs = 7} = {},
): Promise<DecodeRow[]> {
  const rows: DecodeRow[] = [];
  for (const [name, prompt] of Object.entries(prompts)) {
    const samples: Record<string, GenerateStats[]> = {};
    for (let run = -1; run < runs; run++) {
      for (const [mode, options] of Object.entries(MODES)) {
        const {stats} = await lm.generate(prompt, {...options, maxNewTokens: tokens});
        if (run >= 0) (samples[mode] ??= []).push(stats);
      }
    }
    const plain = samples.plain;
    for (const [mode, list] of Object.entries(samples)) rows.push(summarise(name, mode, list, plain));
  }
  return rows;
}

function summarise(prompt: string, mode: string, list: GenerateStats[], plain: GenerateStats[]): DecodeRow {
  const of = (figure: (stats: GenerateStats, i: number) => number) => round(median(list.map(figure)));
  const phases = ['draft', 'select', 'verify', 'accept'] as const;
  const share = (phase: (typeof phases)[number]) => of(({time}) => time[phase] / time.decode);
  const shares = Object.fromEntries(phases.map((phase) => [phase, share(phase)])) as DecodeRow['share'];
  const {promptTokens, acceptance, meanAcceptedLength, kvReduction} = list[0];
  return {
    prompt,
    context: promptTokens,
    mode,
    tokensPerSecond: of((stats) => stats.tokensPerSecond),
    timesPlain: of((stats, i) => stats.tokensPerSecond / plain[i].tokensPerSecond),
    acceptance: round(acceptance),
    acceptedPerRound: round(meanAcceptedLength),
    kvReduction: round(kvReduction),
    msPerRound: of(({time, rounds}) => time.decode / rounds),
    share: {...shares, host: round(1 - phases.reduce((sum, phase) => sum + shares[phase], 0))},
  };
}
