/** Turns a mask of which rows see which keys into the lists of keys that SparseAttention reads. */
import * as tf from '@tensorflow/tfjs-core';

import type {Selection} from '../../ops/index.js';

/** A selection of keys, and how many of them each row sees: the outputs of NucleusSelect. */
export type ListedKeys = Selection & {kept: tf.Tensor2D};

/** Which keys the rows of each set see. */
export class KeyMask {
  /** [sets,rows,capacity]: 1 where the row sees the key, else 0. */
  readonly seen: Uint8Array;

  constructor(
    readonly sets: number,
    readonly rows: number,
    readonly capacity: number,
  ) {
    this.seen = new Uint8Array(sets * rows * capacity);
  }

  /** The keys of one row as a view into the mask, for the caller to fill in. */
  row(set: number, row: number): Uint8Array {
    const from = (set * this.rows + row) * this.capacity;
    return this.seen.subarray(from, from + this.capacity);
  }

  /** The mask as tensors: keys and bits int32 [S,C], counts int32 [S], kept int32 [S,T]; T is at most 31. */
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

/** Marks the first `sinks` and the last `recent` of the `visible` keys of a row as seen. */
export function seeEnds(row: Uint8Array, visible: number, sinks: number, recent: number): void {
  row.fill(1, 0, Math.min(sinks, visible));
  row.fill(1, Math.max(0, visible - recent), visible);
}
