import * as tf from '@tensorflow/tfjs-core';
import {loadGraphModelSync} from '@tensorflow/tfjs-converter';
import {expect} from 'chai';

import * as ops from '../../ops/index.js';
import {forEachBackend} from '../backends.js';
import {expectSame} from '../compare.js';
import {Random} from '../random.js';

type Attr = {f: number} | {i: number} | {s: string} | {b: boolean};
interface Node {
  name: string;
  op: string;
  input: string[];
  attr: Record<string, unknown>;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const node = (name: string, op: string, input: string[], attr: Record<string, Attr> = {}): Node => ({
  name,
  op,
  input,
  attr: {T: {type: 'DT_FLOAT'}, ...attr},
});

const SHAPES = {
  x: [2, 8],
  weight: [8],
  matrix: [6, 8],
  bias: [6],
  rest: [2, 3],
  heads: [2, 2, 4],
  frequencies: [2],
  cache: [2, 16, 4],
  qkv: [2, 24],
  kCache: [2, 16, 4],
  vCache: [2, 16, 4],
  step: [3, 16],
  mix: [2, 3],
  p: [2],
  logits: [2, 8],
} as const;
const INTS = {position: [1], seed: [2], block: [3]} as const;

/** A node for each op (two for Linear). NucleusSelect's outputs feed SparseAttention. */
const NODES = [
  node('norm', 'RMSNorm', ['x', 'weight'], {epsilon: {f: 0.01}}),
  node('plain', 'Linear', ['x', 'matrix']),
  node('fused', 'Linear', ['x', 'matrix', 'weight', 'bias', 'rest'], {
    ...{epsilon: {f: 0.01}, norm: {b: true}, bias: {b: true}, gated: {b: true}, residual: {b: true}},
  }),
  node('rotated', 'RotaryEmbedding', ['heads', 'position', 'frequencies'], {scale: {f: 1.5}}),
  node('appended', 'KVCacheAppend', ['cache', 'heads', 'position']),
  node('projected', 'RotaryAppend', ['qkv', 'position', 'frequencies', 'kCache', 'vCache'], {
    scale: {f: 1.5},
  }),
  node('dense', 'CausalAttention', ['heads', 'appended', 'appended', 'position'], {
    weights: {s: base64('layer')},
  }),
  node('mask', 'NucleusMask', ['step', 'position'], {p: {f: 0.75}}),
  node('selected', 'NucleusSelect', ['mix', 'p', 'position', 'step'], {
    sinks: {i: 1},
    recent: {i: 2},
    union: {s: base64('row')},
  }),
  node(
    'sparse',
    'SparseAttention',
    ['heads', 'appended', 'appended', 'selected', 'selected:1', 'selected:2'],
    {
      scale: {f: 0.5},
      set: {i: 0},
      sets: {i: 2},
    },
  ),
  node('gated', 'SwiGLU', ['norm']),
  node('sampled', 'SampleToken', ['logits', 'seed', 'position'], {
    temperature: {f: 0.5},
    topK: {i: 5},
    topP: {f: 0.75},
    stream: {i: 0},
  }),
  node('accepted', 'SpeculativeAccept', ['block', 'sampled:1', 'three', 'seed', 'position']),
];

/** A GraphModel of these nodes; its GraphDef has the form that `tf.loadGraphModel` reads from a model.json. */
function graphModel(nodes: Node[]) {
  const placeholder = (name: string, shape: readonly number[], type: string): Node => ({
    name,
    op: 'Placeholder',
    input: [],
    attr: {dtype: {type}, shape: {shape: {dim: shape.map((size) => ({size}))}}},
  });
  const floats = {...SHAPES, three: [3, 8]};
  return loadGraphModelSync({
    modelTopology: {
      node: [
        ...Object.entries(floats).map(([name, shape]) => placeholder(name, shape, 'DT_FLOAT')),
        ...Object.entries(INTS).map(([name, shape]) => placeholder(name, shape, 'DT_INT32')),
        ...nodes,
      ],
      versions: {producer: 1},
    },
    weightSpecs: [],
    weightData: new ArrayBuffer(0),
  });
}

function inputsOf(): Record<string, tf.Tensor> {
  const random = new Random('graph');
  const inputs: Record<string, tf.Tensor> = {
    position: tf.tensor1d([9], 'int32'),
    seed: tf.tensor1d([3, 4], 'int32'),
    block: tf.tensor1d([0, 1, 2], 'int32'),
    three: tf.tensor2d(
      [...random.distribution(8), ...random.distribution(8), ...random.distribution(8)],
      [3, 8],
    ),
  };
  for (const [name, shape] of Object.entries(SHAPES))
    inputs[name] = tf.tensor(random.normals(tf.util.sizeFromShape([...shape])), [...shape]);
  inputs.step = tf.abs(inputs.step);
  inputs.p = tf.tensor1d([0.5, 0.75]);
  return inputs;
}

/** The outputs that the nodes must have, computed by the op functions. */
function expectedOf(x: Record<string, tf.Tensor>): Record<string, tf.Tensor> {
  const norm = ops.rmsNorm(x.x, x.weight, 0.01);
  const appended = ops.kvCacheAppend(x.cache.clone(), x.heads, x.position);
  const caches = [x.kCache.clone(), x.vCache.clone()] as const;
  const projected = ops.rotaryAppend(x.qkv, x.position, x.frequencies, ...caches, 1.5);
  const [dense, weights] = ops.causalAttention(x.heads, appended, appended, x.position, {weights: 'layer'});
  const selected = ops.nucleusSelect([x.step], x.mix, x.p, x.position, {sinks: 1, recent: 2, union: 'row'});
  const options = {temperature: 0.5, topK: 5, topP: 0.75, stream: ops.RandomStream.draft};
  const sampled = ops.sampleToken(x.logits, x.seed, x.position, options);
  const accepted = ops.speculativeAccept(x.block, sampled.probabilities, x.three, x.seed, x.position);
  return {
    norm,
    plain: ops.linear(x.x, x.matrix),
    fused: ops.linear(x.x, x.matrix, {
      ...{norm: x.weight, bias: x.bias, residual: x.rest, gated: true, epsilon: 0.01},
    }),
    rotated: ops.rotaryEmbedding(x.heads, x.position, x.frequencies, 1.5),
    appended,
    projected: projected[0],
    'projected:1': projected[1],
    'projected:2': projected[2],
    dense,
    'dense:1': weights,
    mask: ops.nucleusMask(x.step, x.position, 0.75),
    selected: selected.keys,
    'selected:1': selected.bits,
    'selected:2': selected.counts,
    'selected:3': selected.kept,
    sparse: ops.sparseAttention(x.heads, appended, appended, selected, {scale: 0.5, sets: 2}),
    gated: ops.swiGLU(norm),
    sampled: sampled.token,
    'sampled:1': sampled.probabilities,
    accepted: accepted.tokens,
    'accepted:1': accepted.last,
    'accepted:2': accepted.position,
  };
}

forEachBackend('GraphModel', () => {
  it('runs every op as a node with attributes and outputs by index, and leaves no tensors', () => {
    const model = graphModel(NODES);
    const inputs = inputsOf();
    const expected = expectedOf(inputs);
    const names = Object.keys(expected);
    expect(new Set(NODES.map(({op}) => op)).size).to.equal(12);

    const before = tf.memory().numTensors;
    const outputs = model.execute(inputs, names) as tf.Tensor[];
    expect(tf.memory().numTensors - before).to.equal(names.length);
    names.forEach((name, i) => {
      expect(outputs[i].shape, name).to.deep.equal(expected[name].shape);
      expectSame(outputs[i].dataSync(), expected[name].dataSync());
    });
    model.dispose();
  });

  it('refuses attributes and inputs that do not fit, with the error of the op', () => {
    const model = graphModel([
      node('mask', 'NucleusMask', ['step', 'position'], {p: {f: 1.5}}),
      node('dense', 'CausalAttention', ['heads', 'cache', 'cache', 'position'], {
        weights: {s: base64('all')},
      }),
      node('norm', 'RMSNorm', ['x', 'frequencies']),
      node('gated', 'SwiGLU', []),
      node('product', 'Linear', ['x', 'matrix'], {bias: {b: true}}),
      node('projection', 'Linear', ['x', 'matrix', 'bias']),
    ]);
    const inputs = inputsOf();
    const running = (name: string) => () => model.execute(inputs, name);
    expect(running('mask')).to.throw('[NucleusMask] p must be in (0, 1] but is 1.5');
    expect(running('dense')).to.throw(
      '[CausalAttention] weights must be one of none, layer, head but is "all"',
    );
    expect(running('norm')).to.throw('[RMSNorm] weight must have shape [8] but has [2]');
    expect(running('product')).to.throw('[Linear] bias must be a tensor but is undefined');
    expect(running('projection')).to.throw('[Linear] takes 2 inputs with these attributes but got 3');
    expect(running('gated')).to.throw('[SwiGLU] x must be a tensor but is undefined');
    model.dispose();
  });
});
