/** Runs thousands of rounds with random options, in answers that end in every possible way. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {say} from '../../src/cli/terminal.js';
import type {GenerateResult} from '../../src/decoding/generate.js';
import {load, type GenerateOptions} from '../../src/index.js';
import type {LanguageModel} from '../../src/language_model.js';
import {Chance, type Checks} from './checks.js';
import {expectLevel, held, level, type Level} from './levels.js';

const TEXT = fs.readFileSync(path.join(packageRoot, 'test', 'data', 'passage_1.txt'), 'utf8');
const SAMPLING: GenerateOptions[] = [
  {},
  {temperature: 0.8, topK: 40, topP: 0.95},
  {temperature: 1.2, minP: 0.02},
];
const GAMMAS = [1, 2, 3, 4, 5, 6, 7, 8, 'adaptive', 'adaptive', 'adaptive'] as const;
/** How an answer ends. An end that is listed more often is chosen more often. */
const ENDS = [
  ...(['whole', 'whole', 'whole', 'whole', 'whole', 'whole', 'stop'] as const),
  ...(['aborted', 'aborted by a timer', 'onText throws', 'left early', 'together', 'disposed of'] as const),
];
type End = (typeof ENDS)[number];

/** Rounds between two disposals of the model, after which all memory must be given back. */
const ROUNDS_A_MODEL = 100;
const CONTEXT = 1024;

class Failure extends Error {}

function randomOptions(chance: Chance): GenerateOptions {
  const verification = chance.of(['dense', 'sparse', 'refresh'] as const);
  return {
    verification,
    gamma: chance.of(GAMMAS),
    maxNewTokens: chance.whole(1, 64),
    draft: chance.next() < 0.95,
    seed: chance.whole(0, 2 ** 31),
    ...chance.of(SAMPLING),
    ...(verification === 'dense'
      ? {}
      : {p: chance.of([0.5, 0.9, 1]), granularity: chance.of(['layer', 'head'] as const)}),
    ...(verification === 'refresh' ? {refreshEvery: chance.whole(1, 4)} : {}),
  };
}

function randomPrompt(chance: Chance): string {
  const from = chance.whole(0, TEXT.length / 2);
  return TEXT.slice(from, from + (chance.next() < 0.1 ? 0 : chance.whole(1, 800)));
}

/** Writes one answer, or two at once; returns the number of rounds. */
async function answer(lm: LanguageModel, chance: Chance, end: End): Promise<number> {
  const [prompt, options] = [randomPrompt(chance), randomOptions(chance)];
  const after = chance.whole(1, 12);
  let pieces = 0;
  const atPiece = (act: () => void) => () => {
    if (++pieces === after) act();
  };
  const roundsOf = (...results: GenerateResult[]) => results.reduce((sum, {stats}) => sum + stats.rounds, 0);
  switch (end) {
    case 'whole':
      return roundsOf(await lm.generate(prompt, options));
    case 'stop':
      return roundsOf(await lm.generate(prompt, {...options, stop: chance.of(['the', ' ', 'e', '.'])}));
    case 'aborted':
    case 'aborted by a timer': {
      const controller = new AbortController();
      const abort = () => controller.abort();
      const timer = end === 'aborted' ? undefined : setTimeout(abort, chance.whole(0, 40));
      const result = await lm.generate(prompt, {
        ...options,
        signal: controller.signal,
        onText: timer ? undefined : atPiece(abort),
      });
      clearTimeout(timer);
      return roundsOf(result);
    }
    case 'onText throws': {
      const onText = atPiece(() => {
        throw new Failure();
      });
      // A short answer ends before the piece at which onText throws.
      const outcome = await lm.generate(prompt, {...options, onText}).catch((error: unknown) => error);
      if (!(outcome instanceof Failure)) return roundsOf(outcome as GenerateResult);
      return 0;
    }
    case 'left early': {
      for await (const _ of lm.stream(prompt, options)) if (++pieces === after) break;
      return 0;
    }
    case 'together': {
      const other = lm.generate(randomPrompt(chance), randomOptions(chance));
      return roundsOf(...(await Promise.all([lm.generate(prompt, options), other])));
    }
    case 'disposed of':
      return roundsOf(await lm.generate(prompt, {...options, onText: atPiece(() => lm.dispose())}));
  }
}

/** Runs at least `rounds` rounds and adds two checks. */
export async function soakRounds(
  checks: Checks,
  rounds: number,
  chance: Chance,
  backend: string,
): Promise<void> {
  const reload = () => load({backend, contextLength: CONTEXT});
  (await reload()).dispose(); // makes everything that is made only once
  const nothing = held();
  const levels: Level[] = [];
  const ends: Record<string, number> = {};
  let done = 0;

  await checks.run(`${rounds} rounds, after each model of which everything is back`, async () => {
    while (done < rounds) {
      const lm = await reload();
      for (let ofModel = 0; ofModel < ROUNDS_A_MODEL;) {
        const end = chance.of(ENDS);
        ends[end] = (ends[end] ?? 0) + 1;
        const count = await answer(lm, chance, end);
        ofModel += count;
        done += count;
        if (lm['disposed']) break;
      }
      lm.dispose();
      expect(held(), `what is held after ${done} rounds`).to.deep.equal(nothing);
      levels.push(level());
      const thousands = Math.floor(done / 1000);
      if (levels.length === 1 || thousands > Math.floor(reported / 1000)) {
        reported = done;
        const {resident, files} = levels[levels.length - 1];
        say(`  ${done} rounds, ${(resident / 2 ** 20).toFixed(0)} MiB resident, ${files} file handles`);
      }
    }
    say(
      `  answers: ${Object.entries(ends)
        .map(([end, times]) => `${times} ${end}`)
        .join(', ')}`,
    );
  });
  await checks.run('resident memory, reserved memory, file handles and threads are level', async () =>
    say(`  ${expectLevel(levels)}`),
  );
}

let reported = 0;
