/** Decodes ids that come a few at a time, as a model writes them. */

/** What the decoder asks of a tokenizer. */
interface Decoding {
  decode(ids: readonly number[]): string;
  isVisible(id: number): boolean;
  byteOf(id: number): number | undefined;
}

const REPLACEMENT = '\ufffd';
/** When the decoder's window has this many tokens, it drops all but the last OVERLAP ones. */
const WINDOW = 32;
/**
 * More than the 4 bytes of a UTF-8 character, each of which may be a token: a cut never reaches an incomplete
 * character at the end.
 */
const OVERLAP = 8;
/** The most bytes of a character in UTF-8. */
const MOST_BYTES = 4;

const strict = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});

/**
 * The pieces of text, joined, are the text of all ids. A character is held back until all its bytes have come. The
 * time is linear in the number of ids, because only a window of the last few ids is decoded again.
 *
 * There is one exception: if a run of byte tokens (`<0x0A>`) is no UTF-8, `decode` gives U+FFFD for each of its bytes,
 * whereas here the characters before the first wrong byte have been given already, and stay.
 *
 * The window starts with the last ids of `before`, because SentencePiece's decoders drop a space before the first
 * token of a text.
 */
export class StreamDecoder {
  private window: number[] = [];
  /** Number of characters of the window's text that were returned already. */
  private given: number;
  /** Byte tokens of a character that is not complete. They are not in the window. */
  private pending: number[] = [];
  /** Whether the current run of byte tokens has a wrong byte. */
  private broken = false;

  constructor(
    private readonly tokenizer: Decoding,
    before: readonly number[],
  ) {
    // The loop runs from the end because a prompt may be long. The window does not begin inside a character.
    for (let i = before.length; i-- > 0 && (this.window.length < OVERLAP || this.continues(this.window[0]));)
      if (tokenizer.isVisible(before[i])) this.window.unshift(before[i]);
    this.given = tokenizer.decode(this.window).length;
  }

  /** The text that `ids` complete. It may be empty. */
  push(ids: readonly number[]): string {
    let piece = '';
    for (const id of ids)
      if (this.tokenizer.isVisible(id)) {
        const byte = this.tokenizer.byteOf(id);
        piece += byte === undefined ? this.endRun() + this.pushText(id) : this.pushByte(id);
      }
    return piece;
  }

  /** Returns the text that was held back, at the end of the ids. Ids that come later begin a new text. */
  flush(): string {
    const held = this.endRun();
    const rest = this.window.length > 0 ? this.tokenizer.decode(this.window).slice(this.given) : '';
    this.window = [];
    this.given = 0;
    return held + rest;
  }

  /** Whether a token is a byte inside a character. */
  private continues(id: number): boolean {
    const byte = this.tokenizer.byteOf(id);
    return byte !== undefined && byte >= 0x80 && byte < 0xc0;
  }

  private pushText(id: number): string {
    this.window.push(id);
    const text = this.tokenizer.decode(this.window);
    // An incomplete character decodes to U+FFFD at the end. The next token may complete it.
    const end = text.endsWith(REPLACEMENT) ? text.length - 1 : text.length;
    const piece = text.slice(this.given, end);
    this.given = Math.max(this.given, end);
    if (this.window.length >= WINDOW) {
      const held = text.length - this.given;
      this.window = this.window.slice(-OVERLAP);
      while (this.continues(this.window[0])) this.window.shift();
      this.given = this.tokenizer.decode(this.window).length - held;
    }
    return piece;
  }

  private pushByte(id: number): string {
    if (this.broken) return REPLACEMENT;
    this.pending.push(id);
    const bytes = Uint8Array.from(this.pending, (pending) => this.tokenizer.byteOf(pending)!);
    if (!isUtf8(bytes)) {
      if (bytes.length < MOST_BYTES) return '';
      this.broken = true;
      return this.replacePending();
    }
    // What was held back before the run is complete now, whatever it is.
    const text = this.tokenizer.decode([...this.window, ...this.pending]);
    const piece = text.slice(this.given);
    this.window = this.pending;
    this.pending = [];
    this.given = this.tokenizer.decode(this.window).length;
    return piece;
  }

  /** The text of an incomplete character at the end of a run of byte tokens. */
  private endRun(): string {
    this.broken = false;
    return this.pending.length > 0 ? this.replacePending() : '';
  }

  /** U+FFFD for each pending byte, after the text that was held back before. */
  private replacePending(): string {
    const held = this.window.length > 0 ? this.tokenizer.decode(this.window).slice(this.given) : '';
    const piece = held + REPLACEMENT.repeat(this.pending.length);
    // A wrong byte has a text whatever decoder there is, so the window shows that the text has begun.
    this.window = this.pending.slice(-1);
    this.given = this.tokenizer.decode(this.window).length;
    this.pending = [];
    return piece;
  }
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}
