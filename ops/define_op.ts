/** How an op is declared: once, for every backend and for GraphModels. `docs/architecture.md` lists the ops. */
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
 * An op. Its inputs have one order everywhere: in `check`, in both implementations, in a GraphModel's node and (unless its file
 * says otherwise) in the native launch.
 */
export interface OpConfig<Attrs extends object> {
  /** The kernel's name, the native launcher's and the GraphModel node's. */
  readonly name: string;
  /** Every attribute with its default. */
  readonly attrs: Attrs;
  /** Throws an Error that names the op, the tensor or attribute, what was expected and what came. Runs at every call. */
  check(inputs: readonly TensorInfo[], attrs: Attrs): void;
  /**
   * On the backends `specattn` and `tensorflow`: allocates the outputs and queues the launch. Without it the op is composed there too: such an
   * op reads data and cannot be recorded.
   */
  native?(backend: NativeBackend, inputs: TensorInfo[], attrs: Attrs): TensorInfo | TensorInfo[];
  /** On every other backend, in tfjs-core's ops; runs inside `tf.tidy`. Returns new tensors, never an input itself. */
  composed(inputs: Tensor[], attrs: Attrs): Tensor | Tensor[];
}

/** Queues a native launch that writes new tensors, of these shapes and dtypes, and returns them; allocates nothing if it is refused. */
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

/** Runs a declared op: what its op function is made of. Attributes left out, or undefined, have their defaults. */
export type RunOp<Attrs extends object> = (inputs: Tensor[], attrs?: Partial<Attrs>) => Tensor | Tensor[];

/**
 * Declares an op: registers its native kernel and its GraphModel op at once, its composed kernel for any other backend at the
 * first call there, so that the list of backends need not be known.
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
    // An array is a map from its indices: tfjs-core's own Concat passes its inputs so too.
    return engine.runKernel(name, inputs as unknown as NamedTensorInfoMap as never, complete as NamedAttrMap);
  };

  registerOp(name, ({inputs, attrs}) => run(inputs, attrs as Partial<Attrs>));
  return run;
}

/** Makes sure that the current backend has a kernel for the op; returns the backend's name. */
function prepare<Attrs extends object>(config: OpConfig<Attrs>): string {
  const backend = tf.backend(); // the engine picks a backend, and names it, when it first needs one
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

/** The registry is shared by all copies of this module in a process: the first one's kernels stay. */
function registerOnce(config: KernelConfig): void {
  if (!tf.getKernel(config.kernelName, config.backendName)) tf.registerKernel(config);
}
