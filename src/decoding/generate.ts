/** The loop: prompt → rounds → text. */
import {checkList} from '../../backend/check.js';
import type {LlamaConfig} from '../../models/hf/config.js';
import {CHAT_TEMPLATES, type ChatMessage} from '../../models/hf/chat_template.js';
import type {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {AdaptiveGamma} from './gamma.js';
import {resolveOptions, type GenerateOptions, type ResolvedOptions} from '../options.js';
import {runsAhead} from './record.js';
import {launchRound, readRound, type Round} from './rounds.js';
import {sessionPlan, type Pair, type Session} from './session.js';
import {StatsCollector, type GenerateStats} from './stats.js';
import {StopWatch} from './stop.js';
import {yieldToEventLoop} from './yield_to_event_loop.js';

/** Why an answer ended: the model's end token; a stop text; `maxNewTokens` or the context's end; the signal. */
export type FinishReason = 'eos' | 'stop' | 'length' | 'aborted';

/** A text to go on with; or a conversation that a chat model is to answer. */
export type Prompt = string | readonly ChatMessage[];

export interface GenerateResult {
  /** What was written after the prompt, special tokens left out. */
  text: string;
  /** The new tokens, an end token included. */
  tokens: number[];
  finishReason: FinishReason;
  stats: GenerateStats;
}

/** A loop's surroundings: what `LanguageModel` owns. */
export interface Engine extends Pair {
  tokenizer: LlamaTokenizer;
  device: string;
  /** Lends a session for one answer. */
  borrow(): Session;
  /** @param intact whether the session can serve another answer */
  giveBack(session: Session, intact: boolean): void;
}

/** Thrown inside the loop when the signal fires; the answer so far is returned. */
class Aborted extends Error {}

/**
 * Writes an answer piece by piece and returns it whole.
 *
 * The host knows the sequence's tokens and its last position; everything else of a round (tokens, positions, selections,
 * probabilities) stays on the device, which hands back one small tensor a round. A device that runs by itself is given the next
 * round before that tensor is read, where one follows whatever it says: it never waits for the host.
 *
 * @throws Error on a bad option, a prompt longer than the context, messages without a chat template or that it refuses, sparse verification without a layer map, another backend than the
 *     models', or a signal that was aborted before
 */
export async function* generateText(
  engine: Engine,
  prompt: Prompt,
  given: GenerateOptions = {},
): AsyncGenerator<string, GenerateResult, undefined> {
  const options = resolveOptions(given);
  const {tokenizer, verifier, draft, contextLength} = engine;
  const sequence = encodePrompt(engine, prompt, options);
  const promptTokens = sequence.length;
  if (given.draft && !draft)
    throw new Error('[generate] draft must be false or left out: the model was loaded without one');
  const speculative = options.draft && draft !== undefined;
  const plan = speculative ? sessionPlan(engine, options) : undefined; // refused before anything is computed
  /** Rows that no layer read sparsely need no renewal. */
  const renews = options.verification === 'refresh' && plan !== undefined;
  const stats = new StatsCollector(
    verifier.config,
    verifier.cacheBytesPerElement,
    promptTokens,
    engine.device,
  );
  const decoder = tokenizer.stream(sequence);
  const watch = new StopWatch(options.stop);
  const adaptive = options.gamma === 'adaptive' && draft ? new AdaptiveGamma(roundCost(engine)) : undefined;
  const pause = async () => {
    await yieldToEventLoop();
    checkEngine(engine);
    if (options.signal?.aborted) throw new Aborted();
  };
  let text = '';
  let finishReason: FinishReason | undefined = options.maxNewTokens === 0 ? 'length' : undefined;
  let refreshed = promptTokens - 1; // verifier's rows before this one were computed densely
  let roundsSinceRefresh = 0;

  // Of the next round to launch. It is chosen before the report of the round that runs meanwhile, on devices that wait too: a seed
  // gives the same text on all of them.
  const nextGamma = () => adaptive?.next() ?? (options.gamma as number);
  let wanted = nextGamma();
  // Shorter at the context's end; 0, one step without a draft, without one or with a single token behind us. A block may go past
  // maxNewTokens: what is too much is dropped, so that a longer answer begins like a shorter one.
  const gammaAt = (position: number) =>
    speculative && position > 0 ? Math.min(wanted, contextLength - 1 - position) : 0;
  const ahead = runsAhead();
  /** Whether another round follows this one whatever it accepts (but for an end token or a stop text), of a gamma that is known. */
  const surelyFollowed = ({gamma}: Round, position: number) => {
    const latest = position + 1 + gamma;
    const refreshes = renews && gamma > 0 && roundsSinceRefresh + 1 >= options.refreshEvery;
    return (
      latest < contextLength &&
      gammaAt(position + 1) === gammaAt(latest) &&
      latest + 1 - promptTokens < options.maxNewTokens &&
      !refreshes
    );
  };

  checkEngine(engine);
  const session = engine.borrow();
  let intact = true;
  try {
    try {
      if (!finishReason) {
        session.prepare(plan);
        await session.prefill(sequence, options.seed, speculative, pause);
      }
    } finally {
      stats.prefilled();
    }
    let launched: Round | undefined;
    while (!finishReason) {
      await pause();
      const position = sequence.length - 1;
      if (!launched && position >= contextLength) {
        finishReason = 'length';
        break;
      }
      const round: Round = launched ?? launchRound(session, gammaAt(position), options, stats);
      wanted = nextGamma();
      // A round launched in vain leaves nothing behind: the next prompt sets the state anew.
      launched =
        ahead && surelyFollowed(round, position)
          ? launchRound(session, gammaAt(position + 1), options, stats)
          : undefined;
      const fresh = await readRound(round, position, stats);
      const {gamma} = round;
      if (gamma > 0) adaptive?.update(gamma, fresh.length - 1);

      // Text, and the reasons to end.
      for (const token of fresh) {
        sequence.push(token);
        if (tokenizer.eosIds.has(token) || verifier.config.eosTokenIds.includes(token)) finishReason = 'eos';
        const piece = watch.push(finishReason ? '' : decoder.push([token]));
        text += piece;
        if (piece) {
          const start = performance.now();
          yield piece;
          stats.waited(performance.now() - start);
        }
        if (watch.stopped) finishReason = 'stop';
        if (!finishReason && sequence.length - promptTokens >= options.maxNewTokens) finishReason = 'length';
        if (finishReason) break;
      }

      if (renews && gamma > 0 && ++roundsSinceRefresh >= options.refreshEvery && !finishReason) {
        checkEngine(engine); // the reader of the text had its turn
        const start = performance.now();
        session.refresh(sequence.slice(refreshed, -1), refreshed);
        stats.refresh(performance.now() - start, refreshed, sequence.length - 1);
        refreshed = sequence.length - 1;
        roundsSinceRefresh = 0;
      }
    }
  } catch (error) {
    intact = error instanceof Aborted;
    if (!intact) throw error;
    finishReason = 'aborted';
  } finally {
    engine.giveBack(session, intact);
  }
  if (!watch.stopped) {
    const rest = watch.push(decoder.flush()) + watch.flush();
    text += rest;
    if (rest) yield rest;
  }
  const tokens = sequence.slice(promptTokens);
  return {text, tokens, finishReason: finishReason!, stats: stats.result(tokens.length)};
}

function encodePrompt(
  {tokenizer, contextLength}: Engine,
  prompt: Prompt,
  {signal}: ResolvedOptions,
): number[] {
  const isText = typeof prompt === 'string';
  if (!isText && !Array.isArray(prompt))
    throw new Error(
      `[generate] prompt must be a text or a list of messages but is ${prompt === null ? 'null' : typeof prompt}`,
    );
  if (signal?.aborted) throw abortedBefore(signal.reason);
  const text = isText ? prompt : chatText(tokenizer, prompt);
  // A token is rarely longer than a few characters.
  if (text.length > 4 * contextLength && tokenizer.isFarLongerThan(text, contextLength))
    throw new Error(
      `[generate] prompt has more than ${2 * contextLength} tokens but the context holds ${contextLength}`,
    );
  const tokens = tokenizer.encode(text, {addSpecialTokens: isText});
  if (tokens.length === 0)
    throw new Error('[generate] prompt has no tokens, and the tokenizer adds none at the beginning');
  if (tokens.length > contextLength)
    throw new Error(`[generate] prompt has ${tokens.length} tokens but the context holds ${contextLength}`);
  return tokens;
}

function chatText(tokenizer: LlamaTokenizer, messages: readonly ChatMessage[]): string {
  const isMessage = (value: unknown) => {
    const {role, content} = (value ?? {}) as Partial<Record<keyof ChatMessage, unknown>>;
    return typeof role === 'string' && typeof content === 'string';
  };
  checkList('generate', 'prompt', messages, [isMessage, '{role, content}']);
  if (!tokenizer.chatTemplate)
    throw new Error(
      `[generate] prompt must be a text, not messages: ${tokenizer.dir} has no chat template (${CHAT_TEMPLATES})`,
    );
  return tokenizer.chatTemplate.render(messages);
}

function checkEngine({verifier, draft}: Engine): void {
  for (const model of [verifier, draft]) model?.assertUsable('generate');
}

function abortedBefore(reason: unknown): Error {
  const what = reason instanceof Error ? reason.message : String(reason);
  const error = new Error(`[generate] signal must not be aborted before the call but is: ${what}`, {
    cause: reason,
  });
  return Object.assign(error, {name: 'AbortError'});
}

/**
 * What drafting and verifying one token more costs against one pass of the verifier: the draft's share of the weights, and a row of
 * the verifier's block. Rows are dearer on a CPU than on a GPU, but a seed must give the same text on both.
 */
function roundCost({draft, verifier}: Engine): number {
  const ROW = 0.15; // measured on the embedded pair, on two cores
  return parameterCount(draft!.config) / parameterCount(verifier.config) + ROW;
}

/** Of the matrices that every token passes, from the sizes alone: how the weights are stored must not matter. */
function parameterCount(config: LlamaConfig): number {
  const {
    hiddenSize,
    intermediateSize,
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    vocabSize,
  } = config;
  const attention = (2 * numAttentionHeads + 2 * numKeyValueHeads) * headDim;
  return hiddenSize * (numHiddenLayers * (attention + 3 * intermediateSize) + vocabSize);
}
