/** Counts the checks of the soak, and makes its random choices. A check has a name, and work that throws if something is wrong. */
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

  /** The line `N passed, N failed`, which programs read. */
  get line(): string {
    return `${this.passed} passed, ${this.failed} failed`;
  }
}

/** The generator Mulberry32, so that a seed repeats the choices of a soak. */
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
