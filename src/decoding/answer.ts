/** An answer while it is written: its tokens, its text, and why it ended. */
import type {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import type {ResolvedOptions} from '../options.js';
import {SpecialStops, StopWatch} from './stop.js';

/** Why an answer ended: the model's end token; a stop text; `maxNewTokens` or the context's end; the signal. */
export type FinishReason = 'eos' | 'stop' | 'length' | 'aborted';

export class Answer {
  /** What was written after the prompt, special tokens left out. */
  text = '';
  finishReason: FinishReason | undefined;
  /** The prompt's tokens and the new ones. */
  readonly sequence: number[];
  private readonly decoder: ReturnType<LlamaTokenizer['stream']>;
  private readonly watch: StopWatch;
  private readonly specialStops: SpecialStops;

  /** @param endTokens tokens that end an answer */
  constructor(
    private readonly prompt: readonly number[],
    tokenizer: LlamaTokenizer,
    private readonly endTokens: ReadonlySet<number>,
    private readonly options: Pick<ResolvedOptions, 'stop' | 'maxNewTokens'>,
  ) {
    this.sequence = [...prompt];
    this.decoder = tokenizer.stream(this.sequence);
    this.specialStops = new SpecialStops(options.stop, tokenizer.specialTokens());
    this.watch = new StopWatch(this.specialStops.stops);
    if (options.maxNewTokens === 0) this.finishReason = 'length';
  }

  /** The position of the last token. */
  get position(): number {
    return this.sequence.length - 1;
  }

  /** The new tokens, an end token included. */
  get tokens(): number[] {
    return this.sequence.slice(this.prompt.length);
  }

  /** Takes one more token. Returns the text that can be shown by now, and knows whether the answer has ended. */
  push(token: number): string {
    this.sequence.push(token);
    if (this.endTokens.has(token)) this.finishReason = 'eos';
    const text = this.specialStops.markOf(token) ?? this.decoder.push([token]);
    const piece = this.specialStops.withoutMarks(this.watch.push(this.finishReason ? '' : text));
    this.text += piece;
    if (this.watch.stopped) this.finishReason = 'stop';
    const count = this.sequence.length - this.prompt.length;
    this.finishReason ??= count >= this.options.maxNewTokens ? 'length' : undefined;
    return piece;
  }

  /** The text that was held back, at the end: what might have become a stop text, and bytes of an unfinished character. */
  flush(): string {
    if (this.watch.stopped) return '';
    const rest = this.specialStops.withoutMarks(this.watch.push(this.decoder.flush()) + this.watch.flush());
    this.text += rest;
    return rest;
  }
}
