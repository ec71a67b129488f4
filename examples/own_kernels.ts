// Calls the ops without a model: finds the keys that hold 90% of one row's attention weight, and computes attention
// over these keys only. Run: npm run build && node dist/examples/own_kernels.js
import * as tf from '@tensorflow/tfjs-core';
import {causalAttention, nucleusMask, sparseAttention} from 'specattn';

const [heads, headSize, keyCount] = [4, 32, 512];

tf.tidy(() => {
  const q = tf.randomNormal<tf.Rank.R3>([1, heads, headSize], 0, 4, 'float32', 1);
  const k = tf.randomNormal<tf.Rank.R3>([heads, keyCount, headSize], 0, 1, 'float32', 2);
  const v = tf.randomNormal<tf.Rank.R3>([heads, keyCount, headSize], 0, 1, 'float32', 3);
  const position = tf.tensor1d([keyCount - 1], 'int32'); // position of the query: the last one, so it sees every key

  const [dense, weights] = causalAttention(q, k, v, position, {weights: 'layer'});
  const mask = nucleusMask(weights, position, 0.9).dataSync();
  const kept = [...mask.keys()].filter((key) => mask[key]);

  // A selection lists keys. Bit i of a key's `bits` says whether row i of q sees the key. Here q has one row.
  const padding = new Array<number>(keyCount - kept.length).fill(0);
  const sparse = sparseAttention(q, k, v, {
    keys: tf.tensor2d([[...kept, ...padding]], undefined, 'int32'),
    bits: tf.tensor2d([[...kept.map(() => 1), ...padding]], undefined, 'int32'),
    counts: tf.tensor1d([kept.length], 'int32'),
  });

  const error = tf.norm(tf.sub(sparse, dense)).dataSync()[0] / tf.norm(dense).dataSync()[0];
  console.log(`${kept.length} of ${keyCount} keys hold 90% of the weight on backend ${tf.getBackend()}`);
  console.log(`attention over them differs from attention over all by ${(100 * error).toFixed(1)}%`);
});
