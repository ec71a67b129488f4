/** The state of a loop: named tensors on the device that live from step to step. */
import * as tf from '@tensorflow/tfjs-core';

import {nativeBackend} from '../../backend/current.js';

/** Tensors by name, some of them in lists; a name that is undefined has none. */
export type NamedTensors = {readonly [name: string]: tf.Tensor | readonly tf.Tensor[] | undefined};

/**
 * All tensors in one list, and those of a list in its order.
 * @param like gives the order of the names: states that are compared tensor by tensor must have one order
 */
export function flatten(named: NamedTensors, like: NamedTensors = named): tf.Tensor[] {
  return Object.keys(like).flatMap((name) => named[name] ?? []) as tf.Tensor[];
}

/** Other tensors under the names of `like`: the inverse of {@link flatten}. */
export function named<S extends NamedTensors>(like: S, tensors: readonly tf.Tensor[]): S {
  let next = 0;
  const values = Object.entries(like).map(([name, value]) => [
    name,
    value instanceof tf.Tensor ? tensors[next++] : value?.map(() => tensors[next++]),
  ]);
  return Object.fromEntries(values) as S;
}

/**
 * What a loop decodes with, between two rounds. Beside the caches, which each model's graph takes and returns, these are small tensors;
 * the host never reads one.
 */
export type SequenceState = {
  /** int32 [2]: the two last tokens of the sequence. */
  last: tf.Tensor1D;
  /** int32 [1]: the position of the last token, whose keys and values no cache holds yet. */
  position: tf.Tensor1D;
  /** int32 [2]: the low and the high word of the seed. */
  seed: tf.Tensor1D;
  /** float32 [4]: temperature, topK, topP, minP. */
  settings: tf.Tensor1D;
  /** [G,C,D]: keys and values of layer 0, of layer 1, ... */
  verifierCache: tf.Tensor3D[];
  /** The draft's; none without a draft. */
  draftCache: tf.Tensor3D[];
  /** float32 [S]: p of each key set, where verification is sparse. */
  p?: tf.Tensor1D;
  /** float32 [S,C], where the plan has an attention history: its running average over the accepted rows. */
  attentionHistory?: tf.Tensor2D;
};

/** Tensors that steps carry on. On the native backend their buffers never change, so that captures can refer to them. */
export class LoopState<S extends NamedTensors> {
  private tensorList: tf.Tensor[];

  constructor(private like: S) {
    this.tensorList = flatten(like).map((tensor) => tf.keep(tensor));
  }

  get tensors(): S {
    return named(this.like, this.tensorList);
  }

  /** Writes the values of the tensor `name`, from the host. */
  set(name: keyof S, values: readonly number[]): void {
    const tensor = this.tensors[name] as tf.Tensor;
    const {shape, dtype} = tensor;
    const native = nativeBackend();
    if (native)
      native.assign(tensor, dtype === 'int32' ? Int32Array.from(values) : Float32Array.from(values));
    else this.replace(this.tensorList.indexOf(tensor), tf.tensor(values as number[], shape, dtype));
  }

  /** Puts another tensor in the place of the one called `name`, which is disposed of; undefined takes it out. */
  put<K extends keyof S>(name: K, value: S[K] & (tf.Tensor | undefined)): void {
    const old = this.tensors[name] as tf.Tensor | undefined;
    this.like = {...this.tensors, [name]: value};
    this.tensorList = flatten(this.like).map((tensor) => tf.keep(tensor));
    old?.dispose();
  }

  /** Carries the state on by `next`, which returns the next values of all tensors under the same names, in the same order. */
  advance(next: (tensors: S) => S): void {
    const values = tf.tidy(() => flatten(next(this.tensors), this.like));
    values.forEach((value, i) => this.replace(i, value));
  }

  private replace(i: number, value: tf.Tensor): void {
    const held = this.tensorList[i];
    if (value === held) return;
    // A donated tensor comes back as another name of the same buffer: the old name stays, because captures refer to it.
    if (value.dataId === held.dataId) {
      value.dispose();
      return;
    }
    const native = nativeBackend();
    if (native) {
      native.launch('Copy', [value], [held]);
      value.dispose();
      return;
    }
    held.dispose();
    this.tensorList[i] = tf.keep(value);
  }

  dispose(): void {
    tf.dispose(this.tensorList);
  }
}
