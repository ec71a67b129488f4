/** The loop of `generate`: it reads the prompt, runs rounds until the answer ends, and hands out the text. */
import type {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {draftCapacity, type Pair} from '../../models/pair.js';
import {refuseAborted, resolveOptions, type GenerateOptions} from '../options.js';
import {planAnswer, type SelectionPlan} from '../selection/plan.js';
import {Answer, type FinishReason} from './answer.js';
import type {Captures} from './captures.js';
import {encodePrompt, type Prompt} from './prompt.js';
import {Refresh} from './refresh.js';
import {Rounds} from './rounds.js';
import type {Sequence} from './sequence.js';
import {StatsCollector, type GenerateStats} from './stats.js';
import {yieldToEventLoop} from './yield_to_event_loop.js';

export interface GenerateResult {
  /** The text after the prompt, special tokens left out. */
  text: string;
  /** The new tokens, an end token included. */
  tokens: number[];
  finishReason: FinishReason;
  stats: GenerateStats;
}

/** What a loop needs of the model that it writes with. */
export interface Engine extends Pair {
  tokenizer: LlamaTokenizer;
  /** Where the model runs, in words. */
  device: string;
  captures: Captures;
  /** Lends a sequence for one answer; its state fits `plan`. */
  borrow(plan: SelectionPlan | undefined): Sequence;
  /** @param intact whether the sequence can serve another answer */
  giveBack(sequence: Sequence, intact: boolean): void;
  /** @throws Error where the models are gone or another backend than theirs is the current one */
  assertUsable(): void;
}

/** Thrown inside the loop when the signal fires; the answer so far is returned. */
class Aborted extends Error {}

/**
 * Writes an answer piece by piece and returns it whole.
 *
 * The host knows the sequence's tokens and its last position. Everything else of a round (tokens, positions, selections, probabilities)
 * stays on the device, which hands back one small tensor a round.
 *
 * @throws Error on a bad option, a prompt longer than the context, messages without a chat template or that it refuses, sparse
 *     verification without a layer map, another backend than the models', logits that are not finite, or a signal that was aborted before
 */
export async function* generateText(
  engine: Engine,
  prompt: Prompt,
  given: GenerateOptions = {},
): AsyncGenerator<string, GenerateResult, undefined> {
  const {options, promptTokens, speculative, plan, answer, stats} = prepare(engine, prompt, given);
  const pause = async () => {
    await yieldToEventLoop();
    engine.assertUsable();
    if (options.signal?.aborted) throw new Aborted();
  };
  let atCaller = false; // the caller's code has its turn, between rounds: an error of its own leaves the sequence intact
  /** Hands a piece of text to the caller; the time that the caller takes over it is not the decoding's. */
  const hand = function* (piece: string) {
    if (!piece) return;
    const start = performance.now();
    atCaller = true;
    options.onText?.(piece);
    yield piece;
    atCaller = false;
    stats.waited(performance.now() - start);
  };

  engine.assertUsable();
  const sequence = engine.borrow(plan);
  let intact = true;
  try {
    try {
      if (!answer.finishReason) await sequence.begin(promptTokens, options, plan, speculative, pause);
    } finally {
      stats.prefilled();
    }
    const refresh = new Refresh(options, plan, promptTokens.length);
    const rounds = new Rounds({engine, sequence, options, promptTokens: promptTokens.length, refresh, stats});
    while (!answer.finishReason) {
      await pause();
      const round = rounds.next(answer.position);
      if (!round) {
        answer.finishReason = 'length';
        break;
      }
      for (const token of await rounds.read(round, answer.sequence)) {
        yield* hand(answer.push(token));
        if (answer.finishReason) break;
      }
      if (answer.finishReason) break;
      engine.assertUsable(); // the caller had its turn and may have changed the backend
      refresh.after(round.gamma, sequence, answer.sequence, stats);
    }
  } catch (error) {
    intact = atCaller || error instanceof Aborted;
    if (!(error instanceof Aborted)) throw error;
    answer.finishReason = 'aborted';
  } finally {
    engine.giveBack(sequence, intact);
  }
  yield* hand(answer.flush());
  const {text, tokens, finishReason} = answer;
  return {text, tokens, finishReason: finishReason!, stats: stats.result(tokens.length)};
}

/** What an answer begins with: everything that can be refused is refused here, before anything is computed. */
function prepare(engine: Engine, prompt: Prompt, given: GenerateOptions) {
  const {tokenizer, verifier, draft, contextLength, device} = engine;
  const options = resolveOptions(given);
  refuseAborted(options.signal);
  const promptTokens = encodePrompt(tokenizer, {contextLength, vocabSize: verifier.config.vocabSize}, prompt);
  if (given.draft && !draft)
    throw new Error('[generate] draft must be false or left out: the model was loaded without one');
  const withDraft = options.draft && draft !== undefined;
  const plan = withDraft ? planAnswer(engine, options) : undefined;
  // A draft that was made for fewer positions than the prompt has never gets its turn.
  const speculative = withDraft && promptTokens.length <= draftCapacity(draft, contextLength);
  const stats = new StatsCollector(
    verifier.config,
    verifier.cacheBytesPerElement,
    promptTokens.length,
    device,
  );
  const answer = new Answer(promptTokens, tokenizer, endTokensOf(engine), options);
  return {options, promptTokens, speculative, plan, answer, stats};
}

/** The end tokens of the tokenizer and of the model's config; either may know some that the other does not. */
function endTokensOf({tokenizer, verifier}: Engine): ReadonlySet<number> {
  return new Set([...tokenizer.eosIds, ...verifier.config.eosTokenIds]);
}
