/** How the soak counts: a check is a name and work that throws where something is wrong. */
import {say} from '../../src/cli/terminal.js';

export class Checks {
  passed = 0;
  failed = 0;

  async run(name: string, work: () => Promise<void>): Promise<void> {
    const start = performance.now();
    try {
      await work();
      this.passed++;
      say(`  ✔ ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
    } catch (error) {
      this.failed++;
      say(`  ✘ ${name}: ${(error as Error).stack}`);
    }
  }

  /** The line that tools read. */
  get line(): string {
    return `${this.passed} passed, ${this.failed} failed`;
  }
}

/** Mulberry32: what the soak does is its seed's doing. */
export class Chance {
  constructor(private state: number) {}

  /** Uniform in [0, 1). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let x = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  whole(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.whole(0, choices.length - 1)];
  }
}
