/** Standard kernels that the addon lacks: run by tfjs-backend-cpu on a copy of the data. */
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

// An instance of our own: the user's backend `cpu`, if there is one, is left alone.
let cpu: MathBackendCPU | undefined;
const warned = new Set<string>();

/**
 * Runs the kernel `kernelName` of tfjs-backend-cpu on tensors of this backend, through host memory. Says so once a kernel: it is
 * right but slow.
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
  cpu ??= new MathBackendCPU();
  const host = cpu;
  const copies: NamedTensorInfoMap = {};
  for (const name of Object.keys(inputs)) {
    const x = inputs[name];
    if (x) copies[name] = toHost(host, native, x);
  }
  const result = kernel.kernelFunc({inputs: copies, attrs, backend: host});
  const list = Array.isArray(result) ? result : [result];
  const outputs = list.map((x) => toNative(host, native, x));
  for (const x of [...Object.values(copies), ...list])
    if (x && host.refCount(x.dataId) > 0) host.disposeData(x.dataId, true);
  return Array.isArray(result) ? outputs : outputs[0];
}

function toHost(host: MathBackendCPU, native: SpecAttnBackend, x: TensorInfo): TensorInfo {
  const values = native.readSync(x.dataId);
  if (x.dtype !== 'complex64') return host.makeTensorInfo(x.shape, x.dtype, values as TypedArray);
  const {real, imag} = tf.backend_util.splitRealAndImagArrays(values as Float32Array);
  return getKernel('Complex', 'cpu').kernelFunc({
    inputs: {
      real: host.makeTensorInfo(x.shape, 'float32', real),
      imag: host.makeTensorInfo(x.shape, 'float32', imag),
    },
    backend: host,
    attrs: undefined as never,
  }) as TensorInfo;
}

function toNative(host: MathBackendCPU, native: SpecAttnBackend, x: TensorInfo): TensorInfo {
  return {dataId: native.write(host.readSync(x.dataId), x.shape, x.dtype), shape: x.shape, dtype: x.dtype};
}
