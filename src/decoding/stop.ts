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
