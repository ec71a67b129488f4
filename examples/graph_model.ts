// Exports the embedded draft as a model.json folder, then loads and runs it like any other TensorFlow.js graph model.
// Run: npm run build && node dist/examples/graph_model.js
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {loadGraphModel} from '@tensorflow/tfjs-converter';
import * as specattn from 'specattn'; // registers the ops of the graph

async function main(): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'specattn-'));
  try {
    await specattn.exportModel(path.join(__dirname, '..', '..', 'models', 'pretrained', 'draft'), folder);
    const model = await loadGraphModel(specattn.fileSystem(folder));
    const logits = tf.tidy(() => {
      // Inputs: tokens [T], the position of the first token, and key and value caches [KV heads, capacity, head size]
      // of each of 4 layers.
      const inputs: tf.NamedTensorMap = {
        tokens: tf.tensor1d([0, 284, 557], 'int32'),
        position: tf.tensor1d([0], 'int32'),
      };
      for (let layer = 0; layer < 4; layer++) {
        inputs[`k_cache_${layer}`] = tf.zeros([1, 64, 32]);
        inputs[`v_cache_${layer}`] = tf.zeros([1, 64, 32]);
      }
      return (model.execute(inputs, 'logits') as tf.Tensor).dataSync();
    });
    console.log(`${logits.length} logits: 3 rows of a vocabulary of 4096`);
    model.dispose();
  } finally {
    rmSync(folder, {recursive: true});
  }
}

void main();
