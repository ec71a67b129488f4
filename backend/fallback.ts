/** Runs standard kernels that the addon lacks: tfjs-backend-cpu's kernel works on a copy of the data in host memory. */
import * as tf from '@tensorflow/tfjs-core';
import {
  getKernel,
  type KernelFunc,
  type NamedTensorInfoMap,
  type TensorInfo,
  type TypedArray,
} from '@tensorflow/tfjs-core';
import {MathBackendCPU} from '@tensorflow/tfjs-backend-cpu';

import type {SpecAttnBackend} from './backend.js';

// An instance of its own, so that the backend `cpu` of the program keeps its tensors and settings to itself.
let cpu: MathBackendCPU | undefined;
const warned = new Set<string>();

/**
 * Runs tfjs-backend-cpu's kernel `kernelName` on tensors of this backend. Warns at each kernel's first use, since the
 * copies to and from the host are slow.
 * @throws Error where tfjs-backend-cpu has no such kernel, and whatever that kernel throws
 */
export function runFallback(
  kernelName: string,
  {inputs, attrs, backend}: Parameters<KernelFunc>[0],
): TensorInfo | TensorInfo[] {
  const native = backend as SpecAttnBackend;
  const kernel = getKernel(kernelName, 'cpu');
  if (!kernel)
    throw new Error(`[${kernelName}] is not a kernel of the backend specattn, nor of tfjs-backend-cpu`);
  if (!warned.has(kernelName)) {
    warned.add(kernelName);
    tf.backend_util.warn(`specattn: ${kernelName} runs on tfjs-backend-cpu`);
  }
  const host = (cpu ??= quietCpu());
  const held: TensorInfo[] = [];
  // Inputs are tensors by name, a list of tensors (Einsum), or lists by name (RaggedGather).
  const copy = (x: TensorInfo | TensorInfo[] | undefined): unknown => {
    if (!x || Array.isArray(x)) return x?.map(copy);
    held.push(toHost(host, native, x));
    return held[held.length - 1];
  };
  try {
    const copies = Array.isArray(inputs)
      ? inputs.map(copy)
      : Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, copy(x)]));
    const result = kernel.kernelFunc({inputs: copies as NamedTensorInfoMap, attrs, backend: host});
    held.push(...(Array.isArray(result) ? result : [result]));
    return Array.isArray(result)
      ? result.map((x) => toNative(host, native, x))
      : toNative(host, native, result);
  } finally {
    for (const x of held) if (host.refCount(x.dataId) > 0) host.disposeData(x.dataId, true);
  }
}

/** tfjs-backend-cpu without the advice to install tfjs-node that it prints at its first use in Node. */
function quietCpu(): MathBackendCPU {
  return Object.assign(new MathBackendCPU(), {firstUse: false});
}

function toHost(host: MathBackendCPU, native: SpecAttnBackend, x: TensorInfo): TensorInfo {
  const values = native.readSync(x.dataId);
  // Some kernels of tfjs-backend-cpu read `rank`, which a TensorInfo lacks.
  if (x.dtype !== 'complex64')
    return Object.assign(host.makeTensorInfo(x.shape, x.dtype, values as TypedArray), {rank: x.shape.length});
  const parts = tf.backend_util.splitRealAndImagArrays(values as Float32Array);
  const real = host.makeTensorInfo(x.shape, 'float32', parts.real);
  const imag = host.makeTensorInfo(x.shape, 'float32', parts.imag);
  const complex = getKernel('Complex', 'cpu').kernelFunc({
    inputs: {real, imag},
    backend: host,
    attrs: undefined as never,
  });
  host.disposeData(real.dataId);
  host.disposeData(imag.dataId);
  return complex as TensorInfo;
}

function toNative(host: MathBackendCPU, native: SpecAttnBackend, x: TensorInfo): TensorInfo {
  return {dataId: native.write(host.readSync(x.dataId), x.shape, x.dtype), shape: x.shape, dtype: x.dtype};
}
