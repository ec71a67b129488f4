/**
 * Runs the native kernels inside @tensorflow/tfjs-node and @tensorflow/tfjs-node-gpu: as custom ops of the TensorFlow
 * library that the backend `tensorflow` runs on, over that backend's own tensors. The adapter in `cuda/tensorflow/`
 * registers the custom ops.
 */
import {existsSync} from 'node:fs';
import {createRequire} from 'node:module';
import * as path from 'node:path';
import type {DataId, KernelBackend, TensorInfo} from '@tensorflow/tfjs-core';

import {addonFile, loadAddon} from './addon.js';
import {here} from './home.js';
import type {NativeBackend, NativeDType, Storage} from './types.js';

/** The name under which tfjs-node registers its backend. */
export const TENSORFLOW = 'tensorflow';

/** The parts of tfjs-node's backend (4.22) that this file uses: its binding to TensorFlow, and its map of tensors. */
interface NodeBackend extends KernelBackend {
  readonly isUsingGpuDevice: boolean;
  readonly binding: {
    readonly TF_ATTR_STRING: number;
    /** Adds the inputs to the op, then reads the attributes, then runs the op. */
    executeOp(
      op: string,
      attrs: Attr[],
      inputs: number[],
      outputs: number,
    ): {id: number; shape: number[]; dtype: number}[];
    /** Releases tfjs-node's reference to a tensor. */
    deleteTensor(id: number): void;
  };
  readonly tensorMap: {
    get(dataId: DataId): {id: number; values: unknown};
    set(
      dataId: DataId,
      data: {id: number; shape: number[]; dtype: number; values: null; refCount: number},
    ): void;
  };
  /** The ids of the tensors' handles. Values that are still in JavaScript are first handed to TensorFlow. */
  getInputTensorIds(tensors: TensorInfo[]): number[];
}

interface Attr {
  name: string;
  type: number;
  readonly value: string;
}

/** The native adapter; see `cuda/tensorflow/adapter.cc`. */
interface Adapter {
  /** Finds TensorFlow's C API in this process. `gpuReason` says why its GPU is not used; empty if it is. */
  open(devices: unknown): {version: string; gpuReason: string};
  /** Defines the op of a kernel for these dtypes, a letter for each tensor, and returns the op's name. */
  define(kernel: string, inputs: string, outputs: string): string;
}

/** Whether the native kernels are ops of TensorFlow; shown by `specattn doctor` and `load`. */
export interface TensorFlowReport {
  /** TensorFlow's version, if the native kernels are its ops. */
  version?: string;
  /** Why they are not its ops. */
  reason?: string;
  /** Why they do not run on its GPU; empty if they do. */
  gpuReason?: string;
}

/** The letter of each dtype in the name of an op. */
const LETTERS: Readonly<Record<string, string>> = {float32: 'f', int32: 'i', bool: 'b'};

const dtypes = (tensors: readonly TensorInfo[]): string => {
  let letters = '';
  for (const {dtype} of tensors) letters += LETTERS[dtype] ?? '?';
  return letters;
};

/** The native kernels over the tensors of one tfjs-node backend. */
class TensorFlowKernels implements NativeBackend {
  /** Names of the ops that were defined, by kernel and dtypes. */
  private readonly ops = new Map<string, string>();

  constructor(
    readonly backend: NodeBackend,
    private readonly adapter: Adapter,
  ) {}

  /** A tensor without a buffer: the launch that writes it makes the buffer. Until then there is nothing to free. */
  output(shape: number[], dtype: NativeDType): TensorInfo {
    return {dataId: {}, shape, dtype};
  }

  alias(x: TensorInfo, shape: number[] = x.shape): TensorInfo {
    this.backend.incRef(x.dataId);
    return {dataId: x.dataId, shape, dtype: x.dtype};
  }

  storageOf(x: TensorInfo): Storage {
    return x.dtype as NativeDType;
  }

  /**
   * Runs the kernel as a TensorFlow op. TensorFlow's tensors are immutable, so an output that is also an input (a
   * donated cache) gets a new handle under the same `dataId`. The old handle is deleted after TensorFlow has taken the
   * input and before it runs the op: TensorFlow then forwards the input's buffer to the output if nobody else holds it,
   * and copies it otherwise. If the op fails after that, the donated tensor is lost.
   */
  launch(kernel: string, inputs: TensorInfo[], outputs: TensorInfo[], attrs: readonly number[] = []): void {
    const {binding, tensorMap} = this.backend;
    const replaced = outputs.map((output) => inputs.findIndex(({dataId}) => dataId === output.dataId));
    const shapes = outputs.map(({shape}, i) => (replaced[i] < 0 ? shape.join() : `@${replaced[i]}`));
    const donated = outputs.filter((_, i) => replaced[i] >= 0);
    if (donated.length > 1 && new Set(donated.map(({dataId}) => dataId)).size < donated.length)
      throw new Error(`[${kernel}] donated tensors must be different but two are one`);
    const ids = this.backend.getInputTensorIds(inputs);
    const letGo = () => {
      for (const {dataId} of donated) {
        const data = tensorMap.get(dataId);
        binding.deleteTensor(data.id);
        data.id = -1; // tfjs-node's mark for a tensor without a handle
      }
    };
    const type = binding.TF_ATTR_STRING;
    const opAttrs: Attr[] = [
      {name: 'outputs', type, value: shapes.join(';')},
      {
        name: 'attrs',
        type,
        get value() {
          letGo();
          return attrs.join();
        },
      },
    ];
    const made = binding.executeOp(this.op(kernel, inputs, outputs), opAttrs, ids, outputs.length);
    made.forEach(({id, shape, dtype}, i) => {
      const {dataId} = outputs[i];
      if (replaced[i] >= 0) tensorMap.get(dataId).id = id;
      else tensorMap.set(dataId, {id, shape, dtype, values: null, refCount: 1});
    });
  }

  disposeIntermediateTensorInfo(x: TensorInfo): void {
    this.backend.disposeData(x.dataId);
  }

  /** The op's name. An op is defined at its first use. */
  private op(kernel: string, inputs: readonly TensorInfo[], outputs: readonly TensorInfo[]): string {
    const [read, written] = [dtypes(inputs), dtypes(outputs)];
    const key = `${kernel} ${read} ${written}`;
    let name = this.ops.get(key);
    if (name === undefined) {
      name = this.adapter.define(kernel, read, written);
      this.ops.set(key, name);
    }
    return name;
  }
}

let opened: {adapter: Adapter; report: TensorFlowReport} | {report: TensorFlowReport} | undefined;
let kernels: TensorFlowKernels | undefined;
let told = false;

function open(): typeof opened & object {
  const loaded = loadAddon();
  if (!('addon' in loaded)) return {report: {reason: loaded.reason}};
  const file = path.join(path.dirname(addonFile()), 'specattn_tensorflow.node');
  if (!existsSync(file)) return {report: {reason: `${file} does not exist: it was not built`}};
  try {
    const adapter = createRequire(here)(file) as Adapter;
    return {adapter, report: adapter.open(loaded.addon.devices)};
  } catch (error) {
    return {report: {reason: (error as Error).message}};
  }
}

/** Whether the native kernels are ops of the TensorFlow that tfjs-node has loaded. */
export function describeTensorFlow(): TensorFlowReport {
  opened ??= open();
  return opened.report;
}

/**
 * The native kernels for tfjs-node's `backend`. Where they cannot be used this warns once and returns undefined: the
 * ops' composed fallbacks, slower but with the same results, are to run instead.
 */
export function tensorflowKernels(backend: KernelBackend): NativeBackend | undefined {
  if (kernels?.backend === backend) return kernels;
  opened ??= open();
  if (!('adapter' in opened)) {
    const {reason} = opened.report;
    if (!told) console.warn(`specattn: the backend tensorflow runs the composed ops: ${reason}`);
    told = true;
    return undefined;
  }
  return (kernels = new TensorFlowKernels(backend as NodeBackend, opened.adapter));
}

/**
 * The backend `tensorflow` in words, such as `TensorFlow 2.21.0, CPU`; undefined if the native kernels are not its ops.
 */
export function tensorflowInWords(backend: KernelBackend): string | undefined {
  const {version} = describeTensorFlow();
  return version && `TensorFlow ${version}, ${(backend as NodeBackend).isUsingGpuDevice ? 'GPU' : 'CPU'}`;
}
