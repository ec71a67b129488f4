/** The command `specattn export`: writes a model as a TensorFlow.js GraphModel. */
import {Command} from 'commander';

import {tryFolder} from './outputs.js';
import {say} from './terminal.js';

export function exportCommand(): Command {
  return new Command('export')
    .summary('write a model as a TensorFlow.js GraphModel')
    .description('Writes a Hugging Face Llama folder as a model.json folder, which tf.loadGraphModel reads.')
    .argument('<dir>', 'Hugging Face folder: config.json, *.safetensors, tokenizer.json')
    .argument('<out>', 'folder to write')
    .action(async (dir: string, out: string) => {
      tryFolder('out', out, ['model.json', 'weights-00001.bin']);
      const {exportModel} = await import('../index.js');
      await exportModel(dir, out);
      say(`specattn: ${out}/model.json written`);
    });
}
