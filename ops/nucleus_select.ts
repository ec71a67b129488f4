import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D} from '@tensorflow/tfjs-core';

import {checkValue, type Check} from '../backend/check.js';
import {ANY, checkPosition, checkTensor, COUNT, oneOfNames} from './check.js';
import {defineOp, launch} from './define_op.js';
import {nucleusOf} from './nucleus.js';

const name = 'NucleusSelect';
/** A row of the block has one bit of an int32, the sign's apart. */
const MAX_STEPS = 30;
const STEPS: Check = [(n) => (n as number) >= 1 && (n as number) <= MAX_STEPS, `1 to ${MAX_STEPS}`];

/** Whose nuclei a row sees: its own step's, those of steps up to its own, or all. In the order of the native attribute. */
const UNIONS = ['row', 'causal', 'full'] as const;
export type NucleusUnion = (typeof UNIONS)[number];
const IS_UNION = oneOfNames(UNIONS);

export interface NucleusSelectOptions {
  /** Every row sees the first keys, as many as this; 0 by default. */
  sinks?: number;
  /** Every row sees as many keys up to its own; 0 by default. */
  recent?: number;
  /** `causal` by default: a row's distribution does not depend on drafts later than itself. */
  union?: NucleusUnion;
  /** float32 [U,C]: more sources, the same at every step; the mix has a column for each, after the steps'. */
  fixed?: Tensor;
}

/** `fixed`: whether there are sources that are the same at every step. */
type Attrs = Required<Omit<NucleusSelectOptions, 'fixed'>> & {fixed: boolean};

/** What {@link sparseAttention} reads: S sets of keys. */
export interface Selection {
  /** int32 [S,C]: the keys that any row sees, ascending, then zeros. */
  keys: Tensor2D;
  /** int32 [S,C]: bit i says whether row i sees the key. */
  bits: Tensor2D;
  /** int32 [S]: how many keys are listed. */
  counts: Tensor1D;
}

/** Where the steps begin: mix, p, position and, where there are, the fixed sources come first. */
const firstStep = ({fixed}: Attrs) => (fixed ? 4 : 3);

const run = defineOp<Attrs>({
  name,
  attrs: {sinks: 0, recent: 0, union: 'causal', fixed: false},

  check(inputs, attrs) {
    const {sinks, recent, union} = attrs;
    const [mix, p, position] = inputs;
    const first = firstStep(attrs);
    const steps = inputs.length - first;
    checkValue(name, 'the number of steps', steps, STEPS);
    checkTensor(name, 'mix', mix, 'float32', [ANY, ANY]);
    checkTensor(name, 'p', p, 'float32', [mix.shape[0]]);
    checkPosition(name, position);
    const capacity = inputs[first].shape?.[1] ?? ANY;
    if (attrs.fixed) checkTensor(name, 'fixed', inputs[3], 'float32', [ANY, capacity]);
    const shape = [mix.shape[1] - (attrs.fixed ? inputs[3].shape[0] : 0), capacity];
    for (let i = first; i < inputs.length; i++) checkTensor(name, 'step', inputs[i], 'float32', shape);
    checkValue(name, 'sinks', sinks, COUNT);
    checkValue(name, 'recent', recent, COUNT);
    checkValue(name, 'union', union, IS_UNION);
  },

  native(backend, inputs, attrs) {
    const {sinks, recent, union, fixed} = attrs;
    const sets = inputs[0].shape[0];
    const first = firstStep(attrs);
    const capacity = inputs[first].shape[1];
    return launch(
      backend,
      name,
      inputs,
      [
        [[sets, capacity], 'int32'],
        [[sets, capacity], 'int32'],
        [[sets], 'int32'],
        [[sets, inputs.length - first + 1], 'int32'],
      ],
      [sinks, recent, UNIONS.indexOf(union), Number(fixed)],
    );
  },

  // As in NucleusMask, the rows are read and sorted.
  composed([mix, p, position, ...rows]: [Tensor2D, Tensor1D, Tensor1D, ...Tensor2D[]], attrs) {
    const [shared, steps] = attrs.fixed ? [rows.slice(0, 1), rows.slice(1)] : [[], rows];
    const [sets, sources] = mix.shape;
    const capacity = steps[0].shape[1];
    const blockRows = steps.length + 1;
    const mixes = mix.dataSync();
    const masses = p.dataSync();
    const start = position.dataSync()[0];
    const values = steps.map((step) => [step, ...shared].flatMap(rowsOf));

    const keys = new Int32Array(sets * capacity);
    const bits = new Int32Array(sets * capacity);
    const counts = new Int32Array(sets);
    const kept = new Int32Array(sets * blockRows);
    for (let s = 0; s < sets; s++) {
      const mixed = mixes.subarray(s * sources, (s + 1) * sources);
      const nuclei = values.map((step, i) => {
        const visible = Math.min(capacity, start + i + 1);
        return masses[s] >= 1 ? undefined : nucleusOf(mixRows(mixed, step, visible), visible, masses[s]);
      });
      const seen = rowsOfKeys(nuclei, start, capacity, attrs);
      for (let j = 0; j < seen.length; j++) {
        if (seen[j] === 0) continue;
        const at = s * capacity + counts[s]++;
        keys[at] = j;
        bits[at] = seen[j];
        for (let i = 0; i < blockRows; i++) kept[s * blockRows + i] += (seen[j] >> i) & 1;
      }
    }
    return [
      tf.tensor2d(keys, [sets, capacity], 'int32'),
      tf.tensor2d(bits, [sets, capacity], 'int32'),
      tf.tensor1d(counts, 'int32'),
      tf.tensor2d(kept, [sets, blockRows], 'int32'),
    ];
  },
});

/** The rows of a tensor [R,C], each a view. */
function rowsOf(x: Tensor2D): Float32Array[] {
  const values = x.dataSync() as Float32Array;
  const [rows, columns] = x.shape;
  return Array.from({length: rows}, (_, r) => values.subarray(r * columns, (r + 1) * columns));
}

/** Σ_r mix[r] · rows[r] over the first n keys, in float32. A source with a weight of 0 is not read. */
function mixRows(mix: ArrayLike<number>, rows: Float32Array[], n: number): Float32Array {
  const sum = new Float32Array(n);
  for (let r = 0; r < mix.length; r++) {
    if (mix[r] === 0) continue;
    for (let j = 0; j < n; j++) sum[j] += Math.fround(mix[r] * rows[r][j]);
  }
  return sum;
}

/** Which rows see each key up to the block's last: a bit a row. A nucleus that is undefined is every visible key. */
function rowsOfKeys(
  nuclei: readonly (ArrayLike<number> | undefined)[],
  start: number,
  capacity: number,
  {sinks, recent, union}: Attrs,
): Int32Array {
  const steps = nuclei.length;
  const seen = new Int32Array(Math.min(capacity, start + steps + 1));
  for (let i = 0; i <= steps; i++) {
    const bit = 1 << i;
    const visible = Math.min(seen.length, start + i + 1);
    const own = Math.min(i, steps - 1); // the row after the last step has none of its own
    const first = union === 'row' ? own : 0;
    const last = union === 'full' ? steps - 1 : own;
    for (let step = first; step <= last; step++) {
      const nucleus = nuclei[step];
      const size = nucleus?.length ?? Math.min(visible, start + step + 1);
      for (let n = 0; n < size; n++) {
        const j = nucleus ? nucleus[n] : n;
        if (j < visible) seen[j] |= bit;
      }
    }
    for (let j = 0; j < Math.min(sinks, visible); j++) seen[j] |= bit;
    for (let j = Math.max(0, Math.min(start, start + i - recent + 1)); j < visible; j++) seen[j] |= bit;
  }
  return seen;
}

/**
 * The keys that each row of the verifier's block may read, from the draft's attention while it drafted the block.
 *
 * Set s is drawn from the weighted rows Σ_r mix[s,r] · source_r; the sources are the rows of step i, the draft's attention of the
 * query at position + i, and then those of `fixed`.
 * Nucleus i is the smallest set of keys ≤ position + i with mass ≥ p[s] (ties to the lower index); p ≥ 1 keeps every visible key.
 * Row i sees the nuclei of steps ≤ i (`causal`), of step i (`row`) or of all steps (`full`); the last row, which has no step of its
 * own, sees what the row before it would with all steps known. Every row also sees the sinks, the recent keys
 * (position + i − recent < key ≤ position + i) and the block's own rows up to itself; none sees a key after position + i.
 *
 * ```ts
 * const position = tf.tensor1d([4], 'int32');
 * const step = tf.tensor2d([[0.1, 0.7, 0, 0.1, 0.1, 0]]); // of one source, over a cache of 6 keys
 * const {keys, bits, counts, kept} = nucleusSelect([step], tf.tensor2d([[1]]), tf.tensor1d([0.6]), position);
 * keys.print(); // [[1, 4, 5, 0, 0, 0]]: key 1 by its weight, 4 and 5 are the block's own
 * bits.print(); // [[3, 3, 2, 0, 0, 0]]: row 0 does not see key 5
 * ```
 *
 * Source: SpecAttn, arXiv 2510.27641, which joins all steps (`full`).
 *
 * @param steps N ≤ 30 tensors float32 [R,C]: the weights of R sources (layers or heads of the draft)
 * @param mix float32 [S,R + U]: the sources' weights in each set
 * @param p float32 [S], above 0: the mass that each set keeps
 * @param position int32 [1]: of the block's row 0
 * @returns keys and bits int32 [S,C], counts int32 [S]; kept int32 [S,N+1]: how many keys each row sees
 * @throws Error where a shape, a dtype or an option does not fit
 */
export function nucleusSelect(
  steps: readonly Tensor[],
  mix: Tensor,
  p: Tensor,
  position: Tensor,
  {fixed, ...options}: NucleusSelectOptions = {},
): Selection & {kept: Tensor2D} {
  const inputs = [mix, p, position, ...(fixed ? [fixed] : []), ...steps];
  const [keys, bits, counts, kept] = run(inputs, {...options, fixed: fixed !== undefined}) as Tensor[];
  return {keys: keys as Tensor2D, bits: bits as Tensor2D, counts: counts as Tensor1D, kept: kept as Tensor2D};
}
