/**
 * Our kernels inside @tensorflow/tfjs-node and @tensorflow/tfjs-node-gpu: custom ops of the TensorFlow that the backend `tensorflow`
 * runs on, working on that backend's own tensors. `cuda/tensorflow/` registers them.
 */
import {existsSync} from 'node:fs';
import {createRequire} from 'node:module';
import * as path from 'node:path';
import type {DataId, KernelBackend, TensorInfo} from '@tensorflow/tfjs-core';

import {addonFile, loadAddon} from './addon.js';
import type {NativeBackend, NativeDType, Storage} from './types.js';

/** The name under which tfjs-node registers its backend. */
export const TENSORFLOW = 'tensorflow';

/** What is used of tfjs-node's backend, 4.22: its binding to TensorFlow, and what it keeps of each tensor. */
interface NodeBackend extends KernelBackend {
  readonly isUsingGpuDevice: boolean;
  readonly binding: {
    readonly TF_ATTR_STRING: number;
    /** Adds the inputs to the op, then reads the attributes, then runs it. */
    executeOp(
      op: string,
      attrs: Attr[],
      inputs: number[],
      outputs: number,
    ): {id: number; shape: number[]; dtype: number}[];
    /** Lets go of a tensor's handle. */
    deleteTensor(id: number): void;
  };
  readonly tensorMap: {
    get(dataId: DataId): {id: number; values: unknown};
    set(
      dataId: DataId,
      data: {id: number; shape: number[]; dtype: number; values: null; refCount: number},
    ): void;
  };
  /** The handles' ids; values that JavaScript still holds are given to TensorFlow first. */
  getInputTensorIds(tensors: TensorInfo[]): number[];
}

interface Attr {
  name: string;
  type: number;
  readonly value: string;
}

/** `cuda/tensorflow/adapter.cc` */
interface Adapter {
  open(devices: unknown): {version: string; gpuReason: string};
  define(kernel: string, inputs: string, outputs: string): string;
}

/** What `specattn doctor` and `load` say of the backend `tensorflow`. */
export interface TensorFlowReport {
  /** TensorFlow's version, where our kernels are its ops. */
  version?: string;
  /** Why they are not. */
  reason?: string;
  /** Why they are not on its GPU; empty where they are. */
  gpuReason?: string;
}

const LETTERS: Readonly<Record<string, string>> = {float32: 'f', int32: 'i', bool: 'b'};

const dtypes = (tensors: readonly TensorInfo[]): string => {
  let letters = '';
  for (const {dtype} of tensors) letters += LETTERS[dtype] ?? '?';
  return letters;
};

/** The kernels of `cuda/kernels.def` over the tensors of one tfjs-node backend. */
class TensorFlowKernels implements NativeBackend {
  /** TensorFlow's names of the ops that were defined, by kernel and dtypes. */
  private readonly ops = new Map<string, string>();

  constructor(
    readonly backend: NodeBackend,
    private readonly adapter: Adapter,
  ) {}

  /** A name for what a launch is to make; until then there is nothing to free. */
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
   * TensorFlow's tensors never change: an output that is an input too (a donated cache) gets a new handle behind the same `dataId`. The old
   * one is let go of when TensorFlow holds the input and before it runs the op, so that it may forward the input's buffer to the output;
   * where others hold it as well it is copied. If the op then fails, the donated tensor is gone.
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
        data.id = -1; // tfjs-node's mark for none
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

  /** The op's name; it is defined at its first use. */
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
    const adapter = createRequire(__filename)(file) as Adapter;
    return {adapter, report: adapter.open(loaded.addon.devices)};
  } catch (error) {
    return {report: {reason: (error as Error).message}};
  }
}

/** What is there of our kernels in the TensorFlow that tfjs-node has loaded. */
export function describeTensorFlow(): TensorFlowReport {
  opened ??= open();
  return opened.report;
}

/**
 * Our kernels for tfjs-node's `backend`; undefined where they can't be had, which is said once: the composed ops run instead, with the
 * same results, slower.
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

/** `TensorFlow 2.21.0, CPU`: the backend `tensorflow`, in words, where our kernels are its ops. */
export function tensorflowInWords(backend: KernelBackend): string | undefined {
  const {version} = describeTensorFlow();
  return version && `TensorFlow ${version}, ${(backend as NodeBackend).isUsingGpuDevice ? 'GPU' : 'CPU'}`;
}
