/** Decoding end to end: plain, dense speculation and sparse verification, in turn, so that a noisy machine is noisy for all. */
import type {GenerateOptions, GenerateStats, LanguageModel} from '../src/index.js';
import {median, round} from './statistics.js';

/** What is compared; the first is the base of every ratio. */
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
  /** Tokens of the prompt. */
  context: number;
  mode: string;
  tokensPerSecond: number;
  /** Tokens a second against plain decoding, run by run. */
  timesPlain: number;
  acceptance: number;
  acceptedPerRound: number;
  kvReduction: number;
  msPerRound: number;
  /** Share of the decoding time by phase; `host` is what is left: reading tokens, text, the event loop, and preparing rounds (once). */
  share: Record<'draft' | 'select' | 'verify' | 'accept' | 'host', number>;
}

/** @throws Error unless plain decoding, dense speculation and sparse verification with p = 1 write the same tokens */
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
