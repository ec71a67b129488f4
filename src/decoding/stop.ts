/** Watches the text of an answer for the stop texts, at which it ends. */

/** Holds back what may become a stop text, and cuts the text off where a stop text begins. */
export class StopWatch {
  private held = '';
  /** True once a stop text came; everything after is dropped. */
  stopped = false;

  constructor(private readonly stops: readonly string[]) {}

  /** Returns what can be shown by now. */
  push(piece: string): string {
    if (this.stopped) return '';
    const text = this.held + piece;
    // The stop text that is complete first counts, so that it does not matter in which pieces the text comes. Of two that end at one place
    // the longer counts.
    const found = this.stops
      .map((stop) => ({start: text.indexOf(stop), length: stop.length}))
      .filter(({start}) => start >= 0)
      .sort((a, b) => a.start + a.length - (b.start + b.length) || a.start - b.start);
    if (found.length) {
      this.stopped = true;
      this.held = '';
      return text.slice(0, found[0].start);
    }
    const held = Math.max(0, ...this.stops.map((stop) => overlap(text, stop)));
    this.held = text.slice(text.length - held);
    return text.slice(0, text.length - held);
  }

  /** Returns what was held back, at the end. */
  flush(): string {
    const rest = this.held;
    this.held = '';
    return rest;
  }
}

/** The length of the longest end of `text` that `stop` begins with. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length;
  return 0;
}

/** The first of the code units that stand for special tokens: halves of surrogate pairs, which no decoded text has. */
const FIRST_MARK = 0xd800;
const MARKS = 0x400;
const MARK = /[\ud800-\udbff](?![\udc00-\udfff])/g;

/**
 * Stop texts that contain special tokens, such as `<|eot_id|>`. A special token has no text, so it is matched by its
 * id: a mark stands for it in the watched text and in the stop texts, and is taken out of what is shown.
 */
export class SpecialStops {
  /** The stop texts to watch for: those that were given, and those with special tokens once more with marks. */
  readonly stops: readonly string[];
  private readonly marks = new Map<number, string>();

  /** @param special the special tokens by id */
  constructor(given: readonly string[], special: ReadonlyMap<number, string>) {
    if (given.length === 0) {
      this.stops = given;
      return;
    }
    // The longest first, because one token's text may contain another's.
    const tokens = [...special].sort(([, a], [, b]) => b.length - a.length);
    const marked = given.map((stop) => {
      let text = stop;
      for (const [id, token] of tokens) {
        if (!text.includes(token) || (!this.marks.has(id) && this.marks.size === MARKS)) continue;
        const mark = this.marks.get(id) ?? String.fromCharCode(FIRST_MARK + this.marks.size);
        this.marks.set(id, mark);
        text = text.replaceAll(token, mark);
      }
      return text;
    });
    this.stops = [...new Set([...given, ...marked])];
  }

  /** What stands for a token in the watched text, if it is a special token of a stop text. */
  markOf(token: number): string | undefined {
    return this.marks.get(token);
  }

  withoutMarks(text: string): string {
    return this.marks.size > 0 ? text.replace(MARK, '') : text;
  }
}
