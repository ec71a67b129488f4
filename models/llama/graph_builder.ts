/**
 * Builds a TensorFlow GraphDef in the JSON form that tfjs-converter reads. The builder knows nodes, constants and the
 * ops that the Llama graph uses; `graph.ts` says what the graph computes.
 */

/** An attribute as GraphDef's JSON writes it: the key is the attribute's type. */
type AttrValue =
  | {i: number}
  | {list: {i: number[]}}
  | {f: number}
  | {b: boolean}
  | {s: string}
  | {type: string}
  | {shape: object};

interface NodeDef {
  name: string;
  op: string;
  input: string[];
  attr: Record<string, AttrValue>;
}

/** The value of a Const node that follows from the architecture and is therefore in no weights file. */
export interface GraphConstant {
  dtype: 'int32' | 'float32';
  shape: number[];
  values: Int32Array | Float32Array;
}

export interface Graph {
  /** TensorFlow's GraphDef as JSON: `modelTopology` of a model.json. */
  topology: {node: NodeDef[]; versions: {producer: number; minConsumer: number}};
  /** Values by the name of their Const node. Const nodes that are missing here are weights. */
  constants: Map<string, GraphConstant>;
}

const DTYPES = {int32: 'DT_INT32', float32: 'DT_FLOAT'};

/** A string attribute: GraphDef's JSON holds its bytes in base64. */
export const stringAttr = (text: string): AttrValue => ({s: Buffer.from(text).toString('base64')});

/** Attributes from plain values: whole numbers become int attributes, other numbers float attributes. */
export function attributes(values: Record<string, number | string>): Record<string, AttrValue> {
  const attr = (x: number | string): AttrValue =>
    typeof x === 'string' ? stringAttr(x) : Number.isInteger(x) ? {i: x} : {f: x};
  return Object.fromEntries(Object.entries(values).map(([name, x]) => [name, attr(x)]));
}

/** Output `i` of a node with several outputs; the node's own name means output 0. */
export const output = (node: string, i: number): string => `${node}:${i}`;

/** What Linear computes beside its product; names are those of nodes. */
interface LinearFusion {
  /** Weight of an RMSNorm of x, with its `epsilon`. */
  norm?: string;
  epsilon?: number;
  bias?: string;
  gated?: boolean;
  residual?: string;
}

/** Collects nodes. A method adds one node and returns its name, which later nodes take as an input. */
export class GraphBuilder {
  private readonly nodes: NodeDef[] = [];
  private readonly constants = new Map<string, GraphConstant>();

  node(name: string, op: string, input: string[], attr: Record<string, AttrValue> = {}): string {
    this.nodes.push({name, op, input, attr});
    return name;
  }

  input(name: string, dtype: 'int32' | 'float32', shape: number[]): string {
    const dim = shape.map((size) => ({size: String(size)}));
    return this.node(name, 'Placeholder', [], {dtype: {type: DTYPES[dtype]}, shape: {shape: {dim}}});
  }

  /** A named output of the graph. */
  output(name: string, x: string): string {
    return this.node(name, 'Identity', [x]);
  }

  weight(name: string, dtype: 'int32' | 'float32' = 'float32'): string {
    return this.node(name, 'Const', [], {dtype: {type: DTYPES[dtype]}});
  }

  constant(name: string, values: Int32Array | Float32Array, shape: number[]): string {
    const dtype = values instanceof Int32Array ? 'int32' : 'float32';
    this.constants.set(name, {dtype, shape, values});
    return this.weight(name, dtype);
  }

  /** A shape, an axis or a list of sizes. Equal values share one node. */
  ints(values: number | number[]): string {
    const list = [values].flat();
    const name = `const/${Array.isArray(values) ? 'list' : 'scalar'}${list.join('_').replaceAll('-', 'm')}`;
    if (this.constants.has(name)) return name;
    return this.constant(name, Int32Array.from(list), Array.isArray(values) ? [list.length] : []);
  }

  /** The rows of `table` [N,E] that `indices` [T] name: [T,E]. */
  gather(name: string, table: string, indices: string): string {
    return this.node(name, 'GatherV2', [table, indices, this.ints(0)], {batch_dims: {i: 0}});
  }

  linear(name: string, x: string, weight: string, fusion: LinearFusion = {}): string {
    const {norm, epsilon, bias, gated, residual} = fusion;
    const given = Object.entries({norm, bias, residual}).filter(([, input]) => input !== undefined);
    const inputs = [x, weight, ...given.map(([, input]) => input!)];
    return this.node(name, 'Linear', inputs, {
      ...Object.fromEntries(given.map(([key]) => [key, {b: true}])),
      ...(gated && {gated: {b: true}}),
      ...(norm !== undefined && {epsilon: {f: epsilon!}}),
    });
  }

  /** x times a number that does not depend on the call. */
  multiply(name: string, x: string, factor: number): string {
    const by = `const/factor_${factor}`;
    if (!this.constants.has(by)) this.constant(by, Float32Array.of(factor), []);
    return this.node(name, 'Mul', [x, by]);
  }

  reshape(name: string, x: string, shape: number[]): string {
    return this.node(name, 'Reshape', [x, this.ints(shape)]);
  }

  /** Joins tensors along axis 0. */
  concat(name: string, parts: string[]): string {
    return this.node(name, 'ConcatV2', [...parts, this.ints(0)], {N: {i: parts.length}});
  }

  /** Joins tensors along a new axis 0. */
  stack(name: string, parts: string[]): string {
    return this.node(name, 'Pack', parts, {N: {i: parts.length}, axis: {i: 0}});
  }

  squeeze(name: string, x: string, axis: number): string {
    return this.node(name, 'Squeeze', [x], {squeeze_dims: {list: {i: [axis]}}});
  }

  /** The last entry of x along `axis`. The axis stays, with size 1. */
  last(name: string, x: string, rank: number, axis: number): string {
    const all = 2 ** rank - 1;
    const zeros = new Array<number>(rank).fill(0);
    const begin = zeros.map((_, i) => (i === axis ? -1 : 0));
    const inputs = [x, this.ints(begin), this.ints(zeros), this.ints(zeros.map(() => 1))];
    // A set bit of a mask means that begin or end of that axis is ignored.
    return this.node(name, 'StridedSlice', inputs, {
      ...{begin_mask: {i: all - 2 ** axis}, end_mask: {i: all}},
      ...{ellipsis_mask: {i: 0}, new_axis_mask: {i: 0}, shrink_axis_mask: {i: 0}},
    });
  }

  build(): Graph {
    return {
      topology: {node: this.nodes, versions: {producer: 1, minConsumer: 0}},
      constants: this.constants,
    };
  }
}
