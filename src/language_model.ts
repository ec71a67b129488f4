/** A loaded pair of models, which writes answers. Each answer borrows a sequence that has its own caches. */
import type {LlamaTokenizer} from '../models/hf/tokenizer.js';
import type {LayerMap} from '../models/layer_map.js';
import type {Llama} from '../models/llama/llama.js';
import type {Pair} from '../models/pair.js';
import {Captures} from './decoding/captures.js';
import {generateText, type GenerateResult} from './decoding/generate.js';
import type {Prompt} from './decoding/prompt.js';
import {Sequence} from './decoding/sequence.js';
import type {GenerateOptions} from './options.js';
import type {SelectionPlan} from './selection/plan.js';

/** Sequences of answers that nobody can read on, because their stream was dropped: each is given back when its stream is collected. */
const dropped = new FinalizationRegistry<() => void>((giveBack) => giveBack());

export class LanguageModel {
  readonly verifier: Llama;
  readonly draft: Llama | undefined;
  readonly layerMap: LayerMap | undefined;
  /** Positions that the caches hold: prompt and answer together, except the answer's last token. */
  readonly contextLength: number;
  /** How many of the first token ids mean the same to draft and verifier; undefined without a draft, Infinity where all do. */
  readonly sharedVocabulary: number | undefined;
  private readonly captures: Captures;
  /** One sequence is kept between answers, with its caches and captures. */
  private idle: Sequence | undefined;
  private readonly busy = new Set<Sequence>();
  private disposed = false;

  /** Use {@link load}. */
  constructor(
    private readonly pair: Pair,
    readonly tokenizer: LlamaTokenizer,
    /** Where the models run, in words. */
    readonly device: string,
  ) {
    this.verifier = pair.verifier;
    this.draft = pair.draft;
    this.layerMap = pair.layerMap;
    this.contextLength = pair.contextLength;
    this.sharedVocabulary = pair.sharedVocabulary;
    this.captures = new Captures(pair);
  }

  /**
   * Continues `prompt`, or answers it where it is a list of messages. Calls may overlap: each has caches of its own, and they take turns
   * round by round.
   *
   * ```ts
   * const {text} = await lm.generate([
   *   {role: 'system', content: 'You answer in one sentence.'},
   *   {role: 'user', content: 'What is a nucleus?'},
   * ]);
   * ```
   * @throws Error on a bad option, a prompt longer than the context, messages without a chat template or that it refuses, a
   *     signal that was aborted before the call (see {@link GenerateOptions.signal}), or no memory for the caches
   */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<GenerateResult> {
    const pieces = this.stream(prompt, options);
    for (;;) {
      const {done, value} = await pieces.next();
      if (done) return value;
    }
  }

  /**
   * The answer piece by piece. Leaving the loop early ends it; so does dropping the stream, once it is collected.
   * @throws Error at the first piece: what {@link generate} throws
   */
  stream(prompt: Prompt, options: GenerateOptions = {}): AsyncGenerator<string, GenerateResult, undefined> {
    /** The sequence that the answer borrowed. Nothing here may refer to the stream, or the stream would never be collected. */
    const loan: {sequence?: Sequence} = {};
    const {pair, tokenizer, device, captures} = this;
    const engine = {
      ...pair,
      tokenizer,
      device,
      captures,
      assertUsable: () => {
        for (const model of [pair.verifier, pair.draft]) model?.assertUsable('generate');
      },
      borrow: (plan: SelectionPlan | undefined) => (loan.sequence = this.borrow(plan)),
      giveBack: (sequence: Sequence, intact: boolean) => {
        loan.sequence = undefined;
        this.giveBack(sequence, intact);
      },
    };
    const pieces = generateText(engine, prompt, options);
    dropped.register(pieces, () => loan.sequence && this.giveBack(loan.sequence, false));
    return pieces;
  }

  private borrow(plan: SelectionPlan | undefined): Sequence {
    if (this.disposed) throw new Error('[generate] the model was disposed of');
    const sequence = this.idle ?? new Sequence(this.pair);
    this.idle = undefined;
    this.busy.add(sequence);
    if (plan && !sequence.fits(plan)) {
      this.captures.forget(sequence); // they refer to the tensors that are replaced
      try {
        sequence.fit(plan);
      } catch (error) {
        this.giveBack(sequence, false);
        throw error;
      }
    }
    return sequence;
  }

  private giveBack(sequence: Sequence, intact: boolean): void {
    this.busy.delete(sequence);
    if (!intact || this.disposed || this.idle) this.free(sequence);
    else this.idle = sequence;
    if (this.disposed && this.busy.size === 0) this.release();
  }

  private free(sequence: Sequence): void {
    this.captures.forget(sequence);
    sequence.dispose();
  }

  /** Frees both models and their caches. Answers still being written end first. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    if (this.idle) this.free(this.idle);
    this.idle = undefined;
    if (this.busy.size === 0) this.release();
  }

  private release(): void {
    this.verifier.dispose();
    this.draft?.dispose();
  }
}
