/** Sets of keys as SparseAttention reads them, from a mask of what each row sees. */
import * as tf from '@tensorflow/tfjs-core';

import type {Selection} from '../../ops/index.js';

/** A selection, and how many keys each row sees: what NucleusSelect gives. */
export type ListedKeys = Selection & {kept: tf.Tensor2D};

/** Who sees what: 1 at [set, row, key] where it does. */
export class KeyMask {
  readonly seen: Uint8Array;

  constructor(
    readonly sets: number,
    readonly rows: number,
    readonly capacity: number,
  ) {
    this.seen = new Uint8Array(sets * rows * capacity);
  }

  /** What a row of a set sees, to be filled in. */
  row(set: number, row: number): Uint8Array {
    const from = (set * this.rows + row) * this.capacity;
    return this.seen.subarray(from, from + this.capacity);
  }

  /** Keys and bits int32 [S,C], counts int32 [S], kept int32 [S,T]. */
  list(): ListedKeys {
    const {sets, rows, capacity} = this;
    const keys = new Int32Array(sets * capacity);
    const bits = new Int32Array(sets * capacity);
    const counts = new Int32Array(sets);
    const kept = new Int32Array(sets * rows);
    for (let set = 0; set < sets; set++) {
      for (let key = 0; key < capacity; key++) {
        let seen = 0;
        for (let row = 0; row < rows; row++) {
          const sees = this.seen[(set * rows + row) * capacity + key];
          seen |= sees << row;
          kept[set * rows + row] += sees;
        }
        if (seen === 0) continue;
        const at = set * capacity + counts[set]++;
        keys[at] = key;
        bits[at] = seen;
      }
    }
    return {
      keys: tf.tensor2d(keys, [sets, capacity], 'int32'),
      bits: tf.tensor2d(bits, [sets, capacity], 'int32'),
      counts: tf.tensor1d(counts, 'int32'),
      kept: tf.tensor2d(kept, [sets, rows], 'int32'),
    };
  }
}

/** Shows a row that could see `visible` keys the first and the last of them. */
export function seeEnds(row: Uint8Array, visible: number, sinks: number, recent: number): void {
  row.fill(1, 0, Math.min(sinks, visible));
  row.fill(1, Math.max(0, visible - recent), visible);
}
