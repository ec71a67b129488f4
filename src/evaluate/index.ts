/** `evaluate`: compares methods of choosing the keys that the verifier reads, by perplexity and by what they read. */
import {longestContext} from '../../models/pair.js';
import {checkList, checkNames, refuse} from '../../backend/check.js';
import {KeyReads} from '../selection/key_reads.js';
import {TeacherForced} from './decode.js';
import {EvaluatedMethod, type EvaluatedPair} from './evaluated_method.js';
import {IS_METHOD} from './methods.js';
import {summarise, type MethodResult, type WindowRecord} from './result.js';
import {WindowScores} from './scores.js';
import {assertEmbedded} from '../decoding/prompt.js';
import {yieldToEventLoop} from '../decoding/yield_to_event_loop.js';
import {IS_TEXT, cutWindows, type EvaluationText, type Window} from './windows.js';

export type {EvaluatedPair} from './evaluated_method.js';
export {evaluatePasskey, type PasskeyOptions, type PasskeyRecord} from './passkey.js';
export type {PasskeyKind} from './passkeys.js';
export type {MethodResult, WindowRecord} from './result.js';
export type {ScoreSums} from './scores.js';
export type {ReadSums} from '../selection/key_reads.js';
export type {EvaluationText} from './windows.js';

const OPTIONS = ['methods', 'window', 'prefill', 'windows', 'records', 'onRecord', 'onProgress', 'signal'];

export interface EvaluateOptions {
  /**
   * For example `['dense', 'specattn:p=0.95,gamma=4', 'quest:budget=256']`; docs/evaluate.md lists the methods and
   * their options.
   */
  methods: readonly string[];
  /** Tokens of a window of text. Default 2048, or the context of the models where it is shorter. */
  window?: number;
  /** Share of a window that is read densely, as a prompt; the rest is decoded. Default 0.1. */
  prefill?: number;
  /** Number of windows of each text, evenly spread over it. Default 4. */
  windows?: number;
  /** Records of an earlier run; what they hold is not computed again. */
  records?: readonly WindowRecord[];
  /** Called with the record of each window and method when it is done. */
  onRecord?: (record: WindowRecord) => void;
  /** Called with the tokens decoded so far and in all; `what` is the method. */
  onProgress?: (progress: {what: string; loaded: number; total: number}) => void;
  /** Ends the work with an error. */
  signal?: AbortSignal;
}

/**
 * Teacher-forced perplexity of the verifier over texts, for each method of choosing the keys that it sees.
 *
 * The first tokens of a window are its prompt, which is read densely. The rest is decoded in blocks of gamma + 1 rows:
 * each block is a round whose drafts are the text itself and are all accepted. Graph, selection and sparse attention
 * are those of `generate`, and keys and values that sparse attention computed stay in the caches. Each window is also
 * decoded densely, as the baseline.
 *
 * ```ts
 * const lm = await load();
 * const texts = [{name: 'a book', text: readFileSync('book.txt', 'utf8')}];
 * const [dense, sparse] = await evaluate(lm, texts, {methods: ['dense', 'specattn:p=0.95'], window: 1024});
 * ```
 *
 * @returns a result for each method, in the order of `methods`
 * @throws Error on an option that does not fit, a method that lacks its draft or layer map, texts that are all shorter
 *     than a window, or when the signal fires
 */
export async function evaluate(
  pair: EvaluatedPair,
  texts: readonly EvaluationText[],
  options: EvaluateOptions,
): Promise<MethodResult[]> {
  const {verifier, tokenizer} = pair;
  const {window, prompt, count} = checkOptions(pair, texts, options);
  const {onRecord, onProgress, signal} = options;
  const methods = options.methods.map((text) => new EvaluatedMethod(text, pair, prompt));
  const baseline =
    methods.find(({method}) => method.kind === 'dense') ?? new EvaluatedMethod('dense', pair, prompt);

  const windows: Window[] = [];
  for (const text of texts) {
    await yieldToEventLoop(signal);
    windows.push(...cutWindows(text, tokenizer, window, count));
  }
  if (windows.length === 0)
    throw new Error(`[evaluate] texts must have ${window} tokens or more, at least one of them`);

  for (const {tokens} of windows) assertEmbedded('evaluate', tokenizer, tokens, verifier.config.vocabSize);

  const known = new Map(options.records?.map((record) => [record.key, record]));
  const all = [...new Set([baseline, ...methods])];
  const missing = (piece: Window) => all.filter((method) => !known.has(method.key(piece)));
  /**
   * Dense attention runs first wherever a record is missing, even if its own is known: the other methods are compared
   * with it.
   */
  const toRun = (piece: Window) => [
    ...new Set(missing(piece).length > 0 ? [baseline, ...missing(piece)] : []),
  ];
  const total = windows.reduce((sum, piece) => sum + toRun(piece).length, 0) * (window - prompt);
  let loaded = 0;

  const decoder = total > 0 ? new TeacherForced(pair, window) : undefined;
  try {
    for (const piece of windows) {
      let dense: Int32Array | undefined;
      for (const method of toRun(piece)) {
        const start = performance.now();
        const {gamma} = method.method;
        const scores = new WindowScores(piece.tokens, prompt, gamma, verifier.config.vocabSize, dense);
        const reads = new KeyReads(verifier.config, verifier.cacheBytesPerElement);
        const policy = method.policy();
        try {
          for (const block of decoder!.decode(piece.tokens, prompt, {
            policy,
            gamma,
            refreshEvery: method.refreshEvery,
            reads,
          })) {
            scores.add(block);
            loaded += block.rows;
            onProgress?.({what: method.text, loaded, total});
            await yieldToEventLoop(signal);
          }
        } finally {
          policy?.dispose?.();
        }
        dense ??= scores.likeliest;
        const key = method.key(piece);
        if (known.has(key)) continue;
        const record: WindowRecord = {
          key,
          method: method.text,
          text: piece.text,
          from: piece.from,
          scores: scores.sums,
          reads: reads.sums,
          seconds: (performance.now() - start) / 1000,
        };
        known.set(key, record);
        onRecord?.(record);
      }
    }
  } finally {
    decoder?.dispose();
  }
  const recordsOf = (method: EvaluatedMethod) => windows.map((piece) => known.get(method.key(piece))!);
  return methods.map((method) =>
    summarise(method.text, recordsOf(method), recordsOf(baseline), {
      gamma: method.method.gamma,
      prompt,
      window,
    }),
  );
}

function checkOptions(
  pair: EvaluatedPair,
  texts: readonly EvaluationText[],
  options: EvaluateOptions,
): {window: number; prompt: number; count: number} {
  checkNames('evaluate', options, OPTIONS);
  checkList('evaluate', 'texts', texts, IS_TEXT);
  const {methods, window: wanted, prefill = 0.1, windows: count = 4} = options;
  checkList('evaluate', 'methods', methods, IS_METHOD);
  const fail = (what: string, expected: string, received: unknown): never =>
    refuse('evaluate', what, expected, received);
  const context = longestContext(pair);
  const window = wanted ?? Math.min(2048, context);
  if (!Number.isInteger(window) || window < 2 || window > context)
    fail('window', `a whole number from 2 to ${context}`, window);
  if (typeof prefill !== 'number' || !(prefill >= 0 && prefill < 1))
    fail('prefill', 'a share in [0, 1)', prefill);
  if (!Number.isInteger(count) || count < 1) fail('windows', 'a whole number of 1 or more', count);
  const prompt = Math.min(window - 1, Math.max(1, Math.round(prefill * window)));
  return {window, prompt, count};
}
