/** The arithmetic of fitting a mixture: one iteration of expectation maximisation, and the divergence that it lowers. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * Stands for a weight of 0 in quotients and logarithms, so that a key without weight costs 18.4 nats at most and not
 * infinity.
 */
export const SMALLEST_WEIGHT = 1e-8;

/** N rows of attention: T targets, and what they are combined from. Rows of `target` and `source` sum to 1. */
export interface Sample {
  /** float32 [N,T,keys]: the verifier's attention. */
  target: tf.Tensor3D;
  /** float32 [N,S,keys]: the draft's attention, which all targets are combined from. */
  source: tf.Tensor3D;
  /** float32 [N,T,keys]: each target's attention history, which that target alone is combined from. */
  history?: tf.Tensor3D;
}

/**
 * One iteration of expectation maximisation on Σ_n KL(target[n,t] ‖ mixed[n,t]), where n runs over rows and mixed is
 * the combination of the sources and the history by the weights:
 *
 *     weights'[t,s] = weights[t,s] / N · Σ_n Σ_key target[n,t,key] · source[n,s,key] / mixed[n,t,key]
 *
 * and the same for the history. The divergence never rises, and the weights of each target keep a sum of 1.
 *
 * @param weights float32 [T,S + 1], the weight of the history last
 * @returns responsibilities: N times the new weights, float32 [T,S + 1]
 */
export function responsibilities(sample: Sample, weights: tf.Tensor2D): tf.Tensor2D {
  return tf.tidy(() => {
    const {target, source, history} = sample;
    const ratio = tf.div<tf.Tensor3D>(target, combine(sample, weights));
    const ofSources = tf.sum<tf.Tensor2D>(tf.matMul(ratio, source, false, true), 0);
    const ofHistory = history ? tf.sum(tf.mul(ratio, history), [0, 2]) : tf.zeros([target.shape[1]]);
    return tf.mul(weights, tf.concat2d([ofSources, tf.expandDims<tf.Tensor2D>(ofHistory, 1)], 1));
  });
}

/** Σ_n KL(target[n,t] ‖ mixed[n,t]) in nats, float32 [T]. */
export function divergenceOf(sample: Sample, weights: tf.Tensor2D): tf.Tensor1D {
  return tf.tidy(() => {
    const {target} = sample;
    const log = tf.log(tf.maximum(target, SMALLEST_WEIGHT));
    return tf.sum(tf.mul(target, tf.sub(log, tf.log(combine(sample, weights)))), [0, 2]);
  });
}

/** The combinations by the weights, float32 [N,T,keys], at least {@link SMALLEST_WEIGHT}. */
function combine({source, history}: Sample, weights: tf.Tensor2D): tf.Tensor3D {
  const [targets, columns] = weights.shape;
  const ofSources = tf.slice(weights, [0, 0], [targets, columns - 1]);
  const mixed = tf.matMul(tf.expandDims<tf.Tensor3D>(ofSources, 0), source);
  const ofHistory = tf.slice(weights, [0, columns - 1], [targets, 1]);
  return tf.maximum(history ? tf.add(mixed, tf.mul(history, ofHistory)) : mixed, SMALLEST_WEIGHT);
}
