/** Accepted launches of every kernel, from which fuzzing makes up others. */
import type {Storage} from '../../backend/types.js';

export interface LaunchTensor {
  storage: Storage;
  shape: number[];
  /** of an output: the index of the input whose buffer it reuses */
  donated?: number;
}

export interface Launch {
  kernel: string;
  inputs: LaunchTensor[];
  outputs: LaunchTensor[];
  attrs: number[];
}

const STORAGES: Record<string, Storage> = {f: 'float32', b: 'bfloat16', h: 'float16', i: 'int32', t: 'bool'};

/** Parses tensors: `f` is float32, `b` bfloat16, `h` float16, `i` int32, `t` bool; `@3b[2]` reuses the buffer of input 3. */
function tensors(text: string): LaunchTensor[] {
  return [...text.matchAll(/(?:@(\d+))?([fbhit])\[([\d,]*)\]/g)].map(([, donated, storage, dims]) => ({
    storage: STORAGES[storage],
    shape: dims === '' ? [] : dims.split(',').map(Number),
    ...(donated === undefined ? {} : {donated: Number(donated)}),
  }));
}

function launch(kernel: string, inputs: string, outputs: string, ...attrs: number[]): Launch {
  return {kernel, inputs: tensors(inputs), outputs: tensors(outputs), attrs};
}

export const LAUNCHES: readonly Launch[] = [
  launch('RMSNorm', 'f[3,33] b[33]', 'f[3,33]', 1e-5),
  launch('RotaryEmbedding', 'f[3,2,8] i[1] f[4]', 'f[3,2,8]', 1),
  launch('KVCacheAppend', 'h[2,9,5] f[3,2,5] i[1]', '@0h[2,9,5]'),
  launch('RotaryAppend', 'f[3,32] i[1] f[4] b[1,9,8] f[1,9,8]', 'f[3,2,8] @3b[1,9,8] @4f[1,9,8]', 1, 0),
  launch(
    'RotaryAppend',
    'f[3,32] i[1] f[4] b[1,9,8] f[1,9,8] f[8] f[8]',
    'f[3,2,8] @3b[1,9,8] @4f[1,9,8]',
    1,
    1e-5,
  ),
  launch('CausalAttention', 'f[3,4,8] b[2,19,8] b[2,19,8] i[1]', 'f[3,4,8] f[3,19]', 0.3, 1, 0),
  launch('CausalAttention', 'f[1,4,8] f[2,9,8] f[2,9,8] i[1]', 'f[1,4,8] f[4,1,9]', 0.3, 2, 5),
  launch('CausalAttention', 'f[2,4,8] f[2,9,8] f[2,9,8] i[1] i[3]', 'f[2,4,8] f[3,2,9]', 0.3, 2, 0),
  launch('NucleusMask', 'f[3,37] i[1]', 't[3,37]', 0.9),
  launch(
    'NucleusSelect',
    'f[2,3] f[2] i[1] f[1,21] f[2,21] f[2,21]',
    'i[2,21] i[2,21] i[2] i[2,3]',
    2,
    4,
    1,
    1,
  ),
  launch(
    'SparseAttention',
    'f[3,4,8] b[2,19,8] b[2,19,8] i[2,7] i[2,7] i[2]',
    'f[3,4,8] f[2,3,19]',
    0.3,
    0,
    2,
    1,
    0,
  ),
  launch(
    'SparseAttention',
    'f[3,4,8] b[2,19,8] b[2,19,8] i[2,7] i[2,7] i[2] i[1]',
    'f[3,4,8]',
    0.3,
    0,
    2,
    0,
    4,
  ),
  launch('SwiGLU', 'f[3,34]', 'f[3,17]'),
  launch('Linear', 'f[3,33] b[10,33] f[33] f[10] f[3,5]', 'f[3,5]', 1e-5, 1, 1, 1, 1),
  launch('Linear', 'f[20,16] f[8,16]', 'f[20,8]', 0, 0, 0, 0, 0),
  launch('SampleToken', 'f[2,50] i[2] i[1]', 'i[2] f[2,50]', 0.7, 5, 0.9, 0.1, 1),
  launch('SampleToken', 'f[2,50] i[2] i[1] f[4]', 'i[2] f[2,50]', 1, 0, 1, 0, 1),
  launch('SpeculativeAccept', 'i[4] f[3,20] f[4,20] i[2] i[1]', 'i[4] i[2] i[1]'),
  launch('Unary', 'f[5,7]', 'f[5,7]', 38, -1, 1),
  launch('Binary', 'i[5,1] i[7]', 'i[5,7]', 5),
  launch('Cast', 'b[5,7]', 'i[35]'),
  launch('Copy', 'f[5,7]', 'h[35]'),
  launch('Fill', '', 'b[5,7]', 3),
  launch('Random', '', 'h[40]', 7, 0.5),
  launch('Range', '', 'i[40]', 1, 2),
  launch('StridedCopy', 'b[6,8]', 'b[6,8]', 47, 6, -8, 8, -1),
  launch('StridedCopy', 'f[6,8]', 'f[8,6]', 0, 8, 1, 6, 8),
  launch('Concat', 't[2,3] t[2,4]', 't[2,7]', 2),
  launch('Gather', 'h[2,5,3] i[2,4]', 'f[2,4,3]', 1, 1),
  launch('GatherNd', 'f[5,4,3] i[6,2]', 'f[6,3]', 2),
  launch('Scatter', 'i[6,1] f[6,4] f[1]', 'f[5,4]', 1, 1),
  launch('Scatter', 'i[6,2] i[1] i[5,4]', 'i[5,4]', 2, 0),
  launch('Pad', 'f[3,4]', 'f[6,5]', 0, 7, 1, 1),
  launch('Pad', 't[3,4]', 't[6,7]', 2, 0, 3, 1),
  launch('Resize', 'f[2,3,4,2]', 'f[2,5,3,2]', 1, 0, 1),
  launch('Resize', 'i[1,3,4,2]', 'i[1,6,8,2]', 0, 1, 0),
  launch('ResizeGrad', 'f[2,5,3,2]', 'f[2,3,4,2]', 1, 0, 1),
  launch('Fold', 'f[2,3,2,6,5]', 'f[2,5,4,5]', 2, 3, 2, 2, 1, 1, 1, 0),
  launch('Fold', 'f[1,3,3,1,2]', 'f[1,4,4,2]', 2, 2, 1, 1, 1, 1, 0, 0),
  launch('Pool', 'i[2,5,4,3]', 'i[2,3,2,3]', 0, 2, 3, 2, 2, 1, 1, 1, 0),
  launch('Pool', 'f[2,5,4,3]', 'f[2,3,2,3]', 1, 2, 3, 2, 2, 1, 1, 1, 0),
  launch('MaxPoolGrad', 'f[2,3,2,3] f[2,5,4,3]', 'f[2,5,4,3]', 2, 3, 2, 2, 1, 1, 1, 0),
  launch('Depthwise', 'f[2,5,4,3] f[2,3,3,2]', 'f[2,3,2,6]', 2, 2, 3, 2, 2, 1, 1, 1, 0),
  launch('Depthwise', 'f[2,3,3,2] f[2,3,2,6]', 'f[2,5,4,3]', 0, 2, 3, 2, 2, 1, 1, 1, 0),
  launch('Depthwise', 'f[2,5,4,3] f[2,3,2,6]', 'f[2,3,3,2]', 1, 2, 3, 2, 2, 1, 1, 1, 0),
  launch('OneHot', 'i[4]', 'f[4,6]', 1, 0),
  launch('Select', 't[5,1] f[5,7] f[7]', 'f[5,7]'),
  launch('Reduce', 'i[3,4,5]', 'f[4]', 1, 0, 2),
  launch('Reduce', 'f[3,4,5]', 'f[3,4]', 3, 2),
  launch('ArgMax', 'f[3,4,5]', 'i[3,5]', 1, 0),
  launch('Softmax', 'f[3,41]', 'f[3,41]', 1),
  launch('Cumsum', 't[3,4,5]', 'i[3,4,5]', 1, 1, 1, 0),
  launch('TopK', 'f[3,11]', 'f[3,4] i[3,4]'),
  launch('SearchSorted', 'f[3,11] f[3,5]', 'i[3,5]', 1),
  launch('Multinomial', 'f[3,11]', 'i[3,5]', 7, 0),
  launch('BatchMatMul', 'f[2,3,5] b[1,4,5] f[4]', 'f[2,3,4]', 0, 1, 2, 0),
];
