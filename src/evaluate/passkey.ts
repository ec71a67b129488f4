/** Retrieval: whether a key that a long text told once, somewhere, is found again by what each method lets the verifier read. */
import {createHash} from 'node:crypto';

import {longestContext} from '../../models/llama/llama.js';
import type {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {KeyReads, readReductions} from '../selection/key_reads.js';
import {checkList, checkNames, checkValue, oneOf, whole, type Check} from '../../backend/check.js';
import {yieldToEventLoop} from '../decoding/yield_to_event_loop.js';
import {TeacherForced, type BlockLogits} from './decode.js';
import {EvaluatedMethod, type EvaluatedPair} from './evaluated_method.js';
import {IS_METHOD} from './methods.js';
import {PASSKEYS, passkeyOf, type PasskeyKind} from './passkeys.js';
import {likeliest} from './scores.js';
import {IS_TEXT, excerpt, type EvaluationText} from './windows.js';

export interface PasskeyOptions {
  /** As in `evaluate`. */
  methods: readonly string[];
  /** What is to be found: `digits`, as is usual, or a `name` whose first part the question tells. Default both. */
  keys?: readonly PasskeyKind[];
  /** Tokens of text, question and answer. Default 512, 1024 and 2048, as far as the models' context goes. */
  lengths?: readonly number[];
  /** Keys to be found at each length and depth. Default 10. */
  trials?: number;
  /** Of an earlier run: what is in them is not computed again. */
  records?: readonly PasskeyRecord[];
  /** Called with each method's result at a length and depth as it is done. */
  onRecord?: (record: PasskeyRecord) => void;
  /** Answers so far and in all. */
  onProgress?: (progress: {what: string; loaded: number; total: number}) => void;
  /** Ends the work with an error. */
  signal?: AbortSignal;
}

/** A method's result at one length and depth: a line of `passkey.jsonl`. */
export interface PasskeyRecord {
  task: 'passkey';
  /** Tells method, models, layer map, texts and trials from all others. */
  id: string;
  /** As it was asked for. */
  method: string;
  key: PasskeyKind;
  length: number;
  /** Where the key is told: 0 at the text's beginning, 1 at its end. */
  depth: number;
  /** Keys every token of which was the likeliest, of so many. */
  correct: number;
  total: number;
  /** The same of their tokens, each after the right ones before it. */
  correctTokens: number;
  totalTokens: number;
  /** 1 - kept keys / visible keys, over the rows of question and answer in sparse layers. */
  kvReduction: number;
}

const OPTIONS = ['methods', 'keys', 'lengths', 'trials', 'records', 'onRecord', 'onProgress', 'signal'];
const DEPTHS = [0, 0.25, 0.5, 0.75, 1];
const LENGTHS = [512, 1024, 2048];

/**
 * Retrieval by length of text and depth of the key in it, for each method of choosing the keys that the verifier sees.
 *
 * A trial is an excerpt of a text with a paragraph put in that tells a key, then a question. The text is read densely, as a prompt is;
 * question and answer are decoded in blocks under the method, the answer being given: the key is found if each of its tokens is the likeliest
 * after those before it. All methods have the same trials.
 *
 * Source of the task: Mohtashami and Jaggi, Landmark Attention, arXiv 2305.16300.
 *
 * @returns a record for each length, key, depth and method, in this order
 * @throws Error on an option that does not fit, a text shorter than a length, or when the signal fires
 */
export async function evaluatePasskey(
  pair: EvaluatedPair,
  texts: readonly EvaluationText[],
  options: PasskeyOptions,
): Promise<PasskeyRecord[]> {
  const {verifier, draft, tokenizer} = pair;
  const {keys, lengths, trials} = checkOptions(pair, texts, options);
  const {onRecord, onProgress, signal} = options;
  const ofTexts = createHash('sha256').update(JSON.stringify(texts)).digest('hex');
  const methods = options.methods.map(
    (text) => new EvaluatedMethod(text, pair, ['passkey', trials, ofTexts]),
  );
  const known = new Map(options.records?.map((record) => [record.id, record]));
  const cells = lengths.flatMap((length) =>
    keys.flatMap((key) =>
      DEPTHS.map((depth) => ({length, key, depth, hash: JSON.stringify([length, key, depth])})),
    ),
  );
  const missing = (cell: {hash: string}) => methods.filter((method) => !known.has(method.key(cell)));
  const total = cells.reduce((sum, cell) => sum + missing(cell).length, 0) * trials;
  let loaded = 0;

  const decoder = total > 0 ? new TeacherForced(verifier, draft, Math.max(...lengths)) : undefined;
  try {
    for (const cell of cells) {
      const running = missing(cell).map((method) => ({
        method,
        reads: new KeyReads(verifier.config, verifier.cacheBytesPerElement),
        ...{correct: 0, correctTokens: 0, totalTokens: 0},
      }));
      for (let trial = 0; trial < trials && running.length > 0; trial++) {
        const {tokens, asked, answer} = makeTrial(texts[trial % texts.length], tokenizer, cell, trial);
        const prompt = tokens.length - asked - answer;
        for (const run of running) {
          await yieldToEventLoop(signal);
          const {method, reads} = run;
          const policy = method.policy();
          let found = 0;
          try {
            const {gamma} = method.method;
            const {refreshEvery} = method;
            for (const block of decoder!.decode(tokens, prompt, {policy, gamma, refreshEvery, reads}))
              found += countFound(block, tokens, answer, verifier.config.vocabSize);
          } finally {
            policy?.dispose?.();
          }
          if (found === answer) run.correct++;
          run.correctTokens += found;
          run.totalTokens += answer;
          onProgress?.({what: method.text, loaded: ++loaded, total});
        }
      }
      for (const {method, reads, ...counts} of running) {
        const {key, length, depth} = cell;
        const {kvReduction} = readReductions(reads.sums);
        const id = method.key(cell);
        const record = {task: 'passkey', id, method: method.text, key, length, depth, total: trials} as const;
        known.set(id, {...record, ...counts, kvReduction});
        onRecord?.(known.get(id)!);
      }
    }
  } finally {
    decoder?.dispose();
  }
  return cells.flatMap((cell) => methods.map((method) => known.get(method.key(cell))!));
}

/** How many of the answer's tokens, the last ones, this block's rows find. */
function countFound(
  {position, rows, verifier}: BlockLogits,
  tokens: readonly number[],
  answer: number,
  vocabulary: number,
): number {
  let found = 0;
  for (let row = Math.max(0, tokens.length - answer - 1 - position); row < rows; row++) {
    const logits = verifier.subarray(row * vocabulary, (row + 1) * vocabulary);
    if (likeliest(logits) === tokens[position + row + 1]) found++;
  }
  return found;
}

interface Cell {
  length: number;
  key: PasskeyKind;
  depth: number;
}

/** `length` tokens, the last of them a question and its answer. */
function makeTrial(
  text: EvaluationText,
  tokenizer: LlamaTokenizer,
  {length, key, depth}: Cell,
  trial: number,
): {tokens: number[]; asked: number; answer: number} {
  const {told, question, answer, place} = passkeyOf(key, trial);
  const plain = (part: string) => {
    const tokens = tokenizer.encode(part);
    return tokens[0] === tokenizer.bosId ? tokens.slice(1) : tokens;
  };
  const needle = plain(told);
  const end = plain(question + answer);
  // Where a token spans their border it counts as the answer's.
  const asked = plain(question).findIndex((token, i) => token !== end[i]);
  const before = asked < 0 ? plain(question).length : asked;
  const hay = excerpt(text, tokenizer, length - needle.length - end.length, place);
  const at = 1 + Math.round(depth * (hay.length - 1));
  const tokens = [...hay.slice(0, at), ...needle, ...hay.slice(at), ...end];
  return {tokens, asked: before, answer: end.length - before};
}

/** A question, an answer and the paragraph that tells it are shorter. */
const LEAST_LENGTH = 128;

function checkOptions(
  pair: EvaluatedPair,
  texts: readonly EvaluationText[],
  options: PasskeyOptions,
): {keys: readonly PasskeyKind[]; lengths: readonly number[]; trials: number} {
  checkNames('evaluatePasskey', options, OPTIONS);
  const {methods, keys = PASSKEYS, lengths: wanted, trials = 10} = options;
  const context = longestContext(pair);
  const lengths = wanted ?? LENGTHS.filter((length) => length <= context);
  const check = (what: string, values: unknown, holds: Check) =>
    checkList('evaluatePasskey', what, values, holds);
  check('methods', methods, IS_METHOD);
  check('texts', texts, IS_TEXT);
  check('keys', keys, oneOf(...PASSKEYS));
  check('lengths', lengths, whole(LEAST_LENGTH, context));
  checkValue('evaluatePasskey', 'trials', trials, whole(1));
  return {keys, lengths, trials};
}
