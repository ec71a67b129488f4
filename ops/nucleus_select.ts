/**
 * The op NucleusSelect makes the key sets of a round from the draft's attention: the keys that each row of the
 * verifier's block may read.
 */
import * as tf from '@tensorflow/tfjs-core';
import type {Tensor, Tensor1D, Tensor2D} from '@tensorflow/tfjs-core';

import {checkValue, type Check} from '../backend/check.js';
import {ANY, checkPosition, checkTensor, COUNT, oneOfNames} from './check.js';
import {defineOp, launch} from './define_op.js';
import {nucleusOf} from './nucleus.js';

const name = 'NucleusSelect';
/** A block has one row more than there are steps. Each row has a bit of an int32, whose sign bit is not used. */
const MAX_STEPS = 30;
const STEPS: Check = [(n) => (n as number) >= 1 && (n as number) <= MAX_STEPS, `1 to ${MAX_STEPS}`];

/**
 * Which steps' nuclei a row sees: its own step's, those up to its own, or all. The native attribute numbers them in
 * this order.
 */
const UNIONS = ['row', 'causal', 'full'] as const;
export type NucleusUnion = (typeof UNIONS)[number];
const IS_UNION = oneOfNames(UNIONS);

export interface NucleusSelectOptions {
  /** Number of first keys of the sequence that every row sees; 0 by default. */
  sinks?: number;
  /** Number of most recent keys, up to its own position, that every row sees; 0 by default. */
  recent?: number;
  /** `causal` by default: then a row's distribution does not depend on tokens drafted after it. */
  union?: NucleusUnion;
  /**
   * float32 [U,C]: more sources, which are the same at every step. `mix` has a column for each of them, after those of
   * the steps.
   */
  fixed?: Tensor;
}

/** `fixed` says whether there is an input of fixed sources. */
type Attrs = Required<Omit<NucleusSelectOptions, 'fixed'>> & {fixed: boolean};

/** S key sets, as {@link sparseAttention} reads them. */
export interface Selection {
  /** int32 [S,C]: the keys that one or more rows see, in ascending order, then zeros. */
  keys: Tensor2D;
  /** int32 [S,C]: the row masks; bit i says whether row i sees the key. */
  bits: Tensor2D;
  /** int32 [S]: how many keys are listed. */
  counts: Tensor1D;
}

/**
 * Index of the first step among the inputs. Before the steps come mix, p, position and, if there are any, the fixed
 * sources.
 */
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

  // As in NucleusMask, the rows are read to the host and sorted.
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

/** The rows of a tensor [R,C], each as a view of the tensor's values. */
function rowsOf(x: Tensor2D): Float32Array[] {
  const values = x.dataSync() as Float32Array;
  const [rows, columns] = x.shape;
  return Array.from({length: rows}, (_, r) => values.subarray(r * columns, (r + 1) * columns));
}

/**
 * Σ_r mix[r] · rows[r] over the first n keys, in float32. Sources with a weight of 0 are not read, so that their NaNs
 * do not count.
 */
function mixRows(mix: ArrayLike<number>, rows: Float32Array[], n: number): Float32Array {
  const sum = new Float32Array(n);
  for (let r = 0; r < mix.length; r++) {
    if (mix[r] === 0) continue;
    for (let j = 0; j < n; j++) sum[j] += Math.fround(mix[r] * rows[r][j]);
  }
  return sum;
}

/** The row mask of each key up to the last row of the block. An undefined nucleus stands for every visible key. */
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
    const own = Math.min(i, steps - 1); // the last row has no step of its own
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
 * Selects the keys that each row of the verifier's block may read, from the draft's attention while it drafted the
 * block.
 *
 * The draft took N steps; the block has N + 1 rows. For each set s and step i the sources are mixed: Σ_r mix[s,r] ·
 * source_r, where the first R sources are the rows of step i (the draft's attention weights of the query at position +
 * i) and the others are those of `fixed`. Nucleus i of the set is the smallest set of keys ≤ position + i whose mixed
 * weights reach the share p[s] of their sum, with ties to the lower index; p ≥ 1 keeps every visible key.
 *
 * Row i sees these keys, and never a key after position + i:
 *
 * | keys | which |
 * |---|---|
 * | nuclei, `union: 'causal'` | of the steps up to i |
 * | nuclei, `union: 'row'` | of step i; the last row, which has no step of its own, sees the nucleus of step N − 1 |
 * | nuclei, `union: 'full'` | of all steps |
 * | sinks | the first `sinks` keys of the sequence |
 * | recent keys | position + i − recent < key ≤ position + i |
 * | the block | position ≤ key ≤ position + i |
 *
 * ```ts
 * const position = tf.tensor1d([4], 'int32');
 * const step = tf.tensor2d([[0.1, 0.7, 0, 0.1, 0.1, 0]]); // one source, over a cache of 6 keys
 * const {keys, bits, counts, kept} = nucleusSelect([step], tf.tensor2d([[1]]), tf.tensor1d([0.6]), position);
 * keys.print(); // [[1, 4, 5, 0, 0, 0]]: key 1 for its weight, keys 4 and 5 are the block
 * bits.print(); // [[3, 3, 2, 0, 0, 0]]: row 0 does not see key 5
 * ```
 *
 * Source: SpecAttn, arXiv 2510.27641, which gives every row the nuclei of all steps (`full`).
 *
 * @param steps 1 to 30 tensors float32 [R,C], one for each of N steps: the attention rows of R layers or heads of the
 *     draft
 * @param mix float32 [S,R+U]: the weight of each source in each set
 * @param p float32 [S], each above 0: the share of the mass that each nucleus of a set keeps
 * @param position int32 [1]: the position of row 0 of the block in the sequence
 * @returns keys and bits int32 [S,C] and counts int32 [S], as {@link Selection} describes them; kept int32 [S,N+1]: how
 *     many keys each row sees
 * @throws Error naming the op and the argument, if a shape, a dtype or an option does not fit
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
