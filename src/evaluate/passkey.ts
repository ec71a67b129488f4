/**
 * `evaluatePasskey`: hides a passkey in a long text and tests whether the verifier still finds it with the keys that a
 * method lets it read.
 */
import {createHash} from 'node:crypto';

import {longestContext} from '../../models/pair.js';
import type {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {KeyReads, readReductions} from '../selection/key_reads.js';
import {checkList, checkNames, checkValue, oneOf, whole, type Check} from '../../backend/check.js';
import {assertEmbedded} from '../decoding/prompt.js';
import {yieldToEventLoop} from '../decoding/yield_to_event_loop.js';
import {TeacherForced, type BlockLogits} from './decode.js';
import {EvaluatedMethod, type EvaluatedPair} from './evaluated_method.js';
import {IS_METHOD} from './methods.js';
import {PASSKEYS, passkeyOf, type PasskeyKind} from './passkeys.js';
import {likeliest} from './scores.js';
import {IS_TEXT, excerpt, type EvaluationText} from './windows.js';

export interface PasskeyOptions {
  /** Methods as in `evaluate`. */
  methods: readonly string[];
  /**
   * Kinds of passkey: `digits`, as is usual, or `name`, a two-part name of which the question gives the first part.
   * Default both.
   */
  keys?: readonly PasskeyKind[];
  /**
   * Tokens of text, question and answer together. Default 512, 1024 and 2048, as far as they fit into the models'
   * context.
   */
  lengths?: readonly number[];
  /** Number of passkeys at each length and depth. Default 10. */
  trials?: number;
  /** Records of an earlier run; what they hold is not computed again. */
  records?: readonly PasskeyRecord[];
  /** Called with the record of each method at each length and depth when it is done. */
  onRecord?: (record: PasskeyRecord) => void;
  /** Called with the answers given so far and in all; `what` is the method. */
  onProgress?: (progress: {what: string; loaded: number; total: number}) => void;
  /** Ends the work with an error. */
  signal?: AbortSignal;
}

/** A method's result at one length and depth: a line of `passkey.jsonl`. */
export interface PasskeyRecord {
  task: 'passkey';
  /** A hash of the method, the models, the layer map, the texts and the number of trials. */
  id: string;
  /** The method as the user wrote it. */
  method: string;
  key: PasskeyKind;
  length: number;
  /** Where the text tells the passkey: 0 at its beginning, 1 at its end. */
  depth: number;
  /** Passkeys found: every token of the answer was the likeliest. */
  correct: number;
  /** Passkeys asked for. */
  total: number;
  /** Answer tokens that were the likeliest after the right tokens before them. */
  correctTokens: number;
  /** Answer tokens in all. */
  totalTokens: number;
  /** 1 - kept keys / visible keys, over the rows of question and answer in sparse layers. */
  kvReduction: number;
}

const OPTIONS = ['methods', 'keys', 'lengths', 'trials', 'records', 'onRecord', 'onProgress', 'signal'];
const DEPTHS = [0, 0.25, 0.5, 0.75, 1];
const LENGTHS = [512, 1024, 2048];

/**
 * Retrieval of a passkey, by length of the text and depth of the passkey in it, for each method of choosing the keys
 * that the verifier sees.
 *
 * A trial is an excerpt of a text, with a paragraph inserted that tells the passkey, and a question at the end. The
 * text is read densely, as a prompt is. Question and answer are known and decoded in blocks under the method; the
 * passkey is found if each token of the answer is the likeliest after those before it. All methods have the same
 * trials.
 *
 * Source of the task: Mohtashami and Jaggi, Landmark Attention, arXiv 2305.16300.
 *
 * @returns a record for each length, kind of passkey, depth and method, in this order
 * @throws Error on an option that does not fit, a text shorter than a length, or when the signal fires
 */
export async function evaluatePasskey(
  pair: EvaluatedPair,
  texts: readonly EvaluationText[],
  options: PasskeyOptions,
): Promise<PasskeyRecord[]> {
  const {verifier, tokenizer} = pair;
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

  const decoder = total > 0 ? new TeacherForced(pair, Math.max(...lengths)) : undefined;
  try {
    for (const cell of cells) {
      const running = missing(cell).map((method) => ({
        method,
        reads: new KeyReads(verifier.config, verifier.cacheBytesPerElement),
        ...{correct: 0, correctTokens: 0, totalTokens: 0},
      }));
      for (let trial = 0; trial < trials && running.length > 0; trial++) {
        const {tokens, asked, answer} = makeTrial(texts[trial % texts.length], tokenizer, cell, trial);
        assertEmbedded('evaluatePasskey', tokenizer, tokens, verifier.config.vocabSize);
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

/**
 * How many of the answer's tokens the rows of a block predict as the likeliest.
 * @param answer tokens of the answer, which are the last of `tokens`
 */
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

/** `length` tokens: a text that tells a passkey, then `asked` tokens of the question, then `answer` tokens of the answer. */
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
  // A token that holds the end of the question and the beginning of the answer counts as the answer's.
  const asked = plain(question).findIndex((token, i) => token !== end[i]);
  const before = asked < 0 ? plain(question).length : asked;
  const hay = excerpt(text, tokenizer, length - needle.length - end.length, place);
  const at = 1 + Math.round(depth * (hay.length - 1));
  const tokens = [...hay.slice(0, at), ...needle, ...hay.slice(at), ...end];
  return {tokens, asked: before, answer: end.length - before};
}

/** The shortest length: question, answer and the paragraph that tells the passkey always fit into it. */
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
