/** A loaded pair of models, ready to write. */
import type {Llama} from '../models/llama/llama.js';
import type {LayerMap} from '../models/layer_map.js';
import type {LlamaTokenizer} from '../models/hf/tokenizer.js';
import {generateText, type Engine, type GenerateResult, type Prompt} from './decoding/generate.js';
import type {GenerateOptions} from './options.js';
import {Session, type Pair} from './decoding/session.js';

export class LanguageModel {
  readonly verifier: Llama;
  readonly draft: Llama | undefined;
  readonly layerMap: LayerMap | undefined;
  /** Positions that the caches hold: prompt and answer together, but for the answer's last token. */
  readonly contextLength: number;
  /** One session is kept between answers, with its caches and recordings. */
  private idle: Session | undefined;
  private readonly busy = new Set<Session>();
  private disposed = false;

  /** Use {@link load}. */
  constructor(
    private readonly pair: Pair,
    readonly tokenizer: LlamaTokenizer,
    /** Where it runs, in words. */
    readonly device: string,
  ) {
    this.verifier = pair.verifier;
    this.draft = pair.draft;
    this.layerMap = pair.layerMap;
    this.contextLength = pair.contextLength;
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
   * @throws Error on a bad option, a prompt longer than the context, messages without a chat template or that it refuses, a signal that
   *     was aborted before, or no memory for the caches
   */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<GenerateResult> {
    const pieces = this.stream(prompt, options);
    for (;;) {
      const {done, value} = await pieces.next();
      if (done) return value;
    }
  }

  /** The answer piece by piece. Leaving the loop early ends it. */
  async *stream(
    prompt: Prompt,
    options: GenerateOptions = {},
  ): AsyncGenerator<string, GenerateResult, undefined> {
    const pieces = generateText(this.engine(), prompt, options);
    try {
      for (;;) {
        const {done, value} = await pieces.next();
        if (done) return value;
        options.onText?.(value);
        yield value;
      }
    } finally {
      await pieces.return(undefined as never);
    }
  }

  private engine(): Engine {
    if (this.disposed) throw new Error('[generate] the model was disposed of');
    return {
      ...this.pair,
      tokenizer: this.tokenizer,
      device: this.device,
      borrow: () => {
        const session = this.idle ?? new Session(this.pair);
        this.idle = undefined;
        this.busy.add(session);
        return session;
      },
      giveBack: (session, intact) => {
        this.busy.delete(session);
        if (!intact || this.disposed || this.idle) session.dispose();
        else this.idle = session;
        if (this.disposed && this.busy.size === 0) this.release();
      },
    };
  }

  /** Frees both models and their caches. Answers still being written end first. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.idle?.dispose();
    this.idle = undefined;
    if (this.busy.size === 0) this.release();
  }

  private release(): void {
    this.verifier.dispose();
    this.draft?.dispose();
  }
}
