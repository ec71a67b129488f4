/**
 * Declares an op once for every backend and for GraphModels: its checks, its native kernel and its composed fallback.
 */
import * as tf from '@tensorflow/tfjs-core';
import type {
  KernelBackend,
  KernelConfig,
  KernelFunc,
  NamedAttrMap,
  NamedTensorInfoMap,
  Tensor,
  TensorInfo,
} from '@tensorflow/tfjs-core';
import {registerOp} from '@tensorflow/tfjs-converter';

import {TENSORFLOW, tensorflowKernels} from '../backend/tensorflow.js';
import {BACKEND, type NativeBackend, type NativeDType} from '../backend/types.js';

/**
 * An op. Its inputs have the same order in `check`, in both implementations, in a GraphModel's node and, unless the
 * op's file says otherwise, in the native launch.
 */
export interface OpConfig<Attrs extends object> {
  /** The name of the kernel, of the native launcher and of the GraphModel's node. */
  readonly name: string;
  /** Every attribute with its default. */
  readonly attrs: Attrs;
  /**
   * Checks the arguments; runs at every call.
   * @throws Error naming the op, the tensor or attribute, what it must be and what it is
   */
  check(inputs: readonly TensorInfo[], attrs: Attrs): void;
  /**
   * Allocates the outputs and queues the launch, on the backends `specattn` and `tensorflow`. An op without a native
   * kernel runs its composed fallback there too; if that reads data, the op cannot be captured.
   */
  native?(backend: NativeBackend, inputs: TensorInfo[], attrs: Attrs): TensorInfo | TensorInfo[];
  /**
   * The fallback for every other backend, in tfjs-core's ops. It runs inside `tf.tidy` and must return new tensors,
   * never an input.
   */
  composed(inputs: Tensor[], attrs: Attrs): Tensor | Tensor[];
}

/**
 * Queues a native launch that writes new tensors of these shapes and dtypes, and returns the tensors. They are freed if
 * the launch is refused.
 */
export function launch(
  backend: NativeBackend,
  kernel: string,
  inputs: TensorInfo[],
  outputs: readonly (readonly [shape: number[], dtype: NativeDType])[],
  attrs?: number[],
): TensorInfo[] {
  const allocated: TensorInfo[] = [];
  try {
    for (const [shape, dtype] of outputs) allocated.push(backend.output(shape, dtype));
    backend.launch(kernel, inputs, allocated, attrs);
  } catch (error) {
    for (const output of allocated) backend.disposeIntermediateTensorInfo(output);
    throw error;
  }
  return allocated;
}

/**
 * Runs a declared op; the exported op functions call it. Attributes that are left out or undefined take their defaults.
 */
export type RunOp<Attrs extends object> = (inputs: Tensor[], attrs?: Partial<Attrs>) => Tensor | Tensor[];

/**
 * Declares an op. Its native kernel and its GraphModel op are registered now. For any other backend the composed kernel
 * is registered at the first call on that backend, since backends may be added at any time.
 */
export function defineOp<Attrs extends object>(config: OpConfig<Attrs>): RunOp<Attrs> {
  const {name} = config;
  if (config.native) {
    registerOnce({
      kernelName: name,
      backendName: BACKEND,
      kernelFunc: ({inputs, attrs, backend}) =>
        config.native!(backend as NativeBackend, inputs as unknown as TensorInfo[], attrs as Attrs),
    });
  }

  let preparedBackend = '';
  const run: RunOp<Attrs> = (inputs, attrs) => {
    const complete = {...config.attrs};
    for (const key in attrs) if (attrs[key] !== undefined) complete[key] = attrs[key];
    config.check(inputs, complete);
    const engine = tf.engine();
    if (engine.backendName !== preparedBackend) preparedBackend = prepare(config);
    // An array serves as a map from indices to tensors. tfjs-core's Concat passes its inputs so, too.
    return engine.runKernel(name, inputs as unknown as NamedTensorInfoMap as never, complete as NamedAttrMap);
  };

  registerOp(name, ({inputs, attrs}) => run(inputs, attrs as Partial<Attrs>));
  return run;
}

/** Makes sure that the current backend has a kernel for the op; returns the backend's name. */
function prepare<Attrs extends object>(config: OpConfig<Attrs>): string {
  const backend = tf.backend(); // tfjs-core chooses a backend, and can name it, only when one is first needed
  const backendName = tf.getBackend();
  const composed: KernelFunc = ({inputs, attrs}) =>
    tf.tidy(() => config.composed(inputs as unknown as Tensor[], attrs as unknown as Attrs));
  const inTensorFlow: KernelFunc = ({inputs, attrs, backend}) =>
    config.native!(
      tensorflowKernels(backend as KernelBackend)!,
      inputs as unknown as TensorInfo[],
      attrs as unknown as Attrs,
    );
  const native = config.native && backendName === TENSORFLOW && tensorflowKernels(backend) !== undefined;
  registerOnce({kernelName: config.name, backendName, kernelFunc: native ? inTensorFlow : composed});
  return backendName;
}

/**
 * Registers a kernel unless it is there: copies of this module in one process share tfjs-core's registry, and the first
 * copy's kernels stay.
 */
function registerOnce(config: KernelConfig): void {
  if (!tf.getKernel(config.kernelName, config.backendName)) tf.registerKernel(config);
}
