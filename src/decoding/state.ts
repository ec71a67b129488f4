/** The state of a loop: named tensors on the device that live from step to step. */
import * as tf from '@tensorflow/tfjs-core';

import {nativeBackend} from '../../backend/current.js';

/** Tensors by name, some of them in lists; one that is undefined is not there. */
export type TensorTree =
  tf.Tensor | undefined | readonly TensorTree[] | {readonly [name: string]: TensorTree};

/** The tensors of a tree, in the order of its names and lists. */
export function leavesOf(tree: TensorTree): tf.Tensor[] {
  if (tree === undefined) return [];
  if (tree instanceof tf.Tensor) return [tree];
  return (Array.isArray(tree) ? (tree as TensorTree[]) : Object.values(tree)).flatMap(leavesOf);
}

/** A tree of the same names and lists over other tensors. */
export function treeOf<T extends TensorTree>(names: T, leaves: readonly tf.Tensor[]): T {
  let next = 0;
  const build = (tree: TensorTree): TensorTree => {
    if (tree === undefined) return undefined;
    if (tree instanceof tf.Tensor) return leaves[next++];
    if (Array.isArray(tree)) return (tree as TensorTree[]).map(build);
    return Object.fromEntries(Object.entries(tree).map(([name, value]) => [name, build(value)]));
  };
  return build(names) as T;
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

/** A tree of tensors that steps carry on. On the native backend its buffers never change, so that captures can refer to them. */
export class LoopState<S extends TensorTree> {
  private leaves: tf.Tensor[];

  constructor(private names: S) {
    this.leaves = leavesOf(names).map((tensor) => tf.keep(tensor));
  }

  get tensors(): S {
    return treeOf(this.names, this.leaves);
  }

  /** Writes the values of the tensor `name`, from the host. */
  set(name: keyof S, values: readonly number[]): void {
    const tensor = this.tensors[name] as tf.Tensor;
    const {shape, dtype} = tensor;
    const native = nativeBackend();
    if (native)
      native.assign(tensor, dtype === 'int32' ? Int32Array.from(values) : Float32Array.from(values));
    else this.replace(this.leaves.indexOf(tensor), tf.tensor(values as number[], shape, dtype));
  }

  /** Puts other tensors in the place of the ones called `name`, which are disposed of; undefined takes them out. */
  put<K extends keyof S>(name: K, value: S[K]): void {
    const tree = {...(this.tensors as object), [name]: value} as unknown as S;
    const old = leavesOf(this.tensors[name] as TensorTree);
    this.names = tree;
    this.leaves = leavesOf(tree).map((tensor) => tf.keep(tensor));
    tf.dispose(old);
  }

  /** Carries the state on by `next`, which returns the next values of all tensors. */
  advance(next: (tensors: S) => S): void {
    const values = tf.tidy(() => leavesOf(next(this.tensors)));
    values.forEach((value, i) => this.replace(i, value));
  }

  private replace(i: number, value: tf.Tensor): void {
    const held = this.leaves[i];
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
    this.leaves[i] = tf.keep(value);
  }

  dispose(): void {
    tf.dispose(this.leaves);
  }
}
