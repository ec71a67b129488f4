/** Random pairs of models with so few tokens, which are letters, that the distribution of short texts can be computed exactly. */
import * as fs from 'node:fs';
import * as path from 'node:path';

import {readConfig} from '../../models/hf/config.js';
import {writeLayerMap} from '../../models/layer_map.js';
import {namedNormals, newFolder, safetensors} from '../decoding/models.js';

const LAYERS = 2;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz';

/** The text of these tokens. */
export const lettersOf = (tokens: readonly number[]): string => tokens.map((id) => ALPHABET[id]).join('');

export interface Letters {
  /** size of the vocabulary */
  letters: number;
  /** rows of the embedding and of the head; default as many as letters */
  rows?: number;
  /** number of layers of both models; default 2 */
  layers?: number;
  /** distance of the draft's weights from the verifier's: with 0 they are equal, with 1 half of their variance is the draft's own */
  distance: number;
  /** the letter that ends a text; default none */
  end?: string;
  contextLength?: number;
  /** Changes the values of a weight in place. */
  change?: (name: string, values: Float32Array, shape: number[]) => void;
}

/**
 * Writes a random pair; returns its folders. `ofDraft` has what is different in the draft. Both models have width 16, 2 query heads and
 * 1 KV head. Their logits are about normally distributed, so that every letter is possible and none is certain.
 */
export function letterPair(
  options: Letters,
  ofDraft: Partial<Letters> = {},
): {draft: string; verifier: string} {
  const verifier = writeModel({...options, distance: 0});
  const draft = writeModel({...options, ...ofDraft});
  const layers = Array.from({length: options.layers ?? LAYERS}, (_, layer) => layer);
  writeLayerMap(path.join(verifier, 'layer_map.json'), {
    version: 1,
    kind: 'kl',
    draft: {config: readConfig(draft).sha256},
    verifier: {config: readConfig(verifier).sha256},
    layers,
    heads: layers.map(() => [0, 1]),
    kl: layers.map((layer) => layers.map((other) => Math.abs(layer - other))),
    text: {rows: 10, window: 10},
  });
  return {draft, verifier};
}

function writeModel({
  letters,
  rows = letters,
  layers = LAYERS,
  distance,
  end,
  contextLength = 48,
  change,
}: Letters): string {
  const dir = newFolder();
  const write = (name: string, value: object) =>
    fs.writeFileSync(path.join(dir, name), JSON.stringify(value));
  write('config.json', {
    ...{architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_act: 'silu', vocab_size: rows},
    ...{hidden_size: 16, intermediate_size: 24, num_hidden_layers: layers, head_dim: 8},
    ...{num_attention_heads: 2, num_key_value_heads: 1, max_position_embeddings: contextLength},
    ...(end === undefined ? {} : {eos_token_id: ALPHABET.indexOf(end)}),
  });
  const vocab = Object.fromEntries([...ALPHABET.slice(0, letters)].map((letter, id) => [letter, id]));
  write('tokenizer.json', {
    ...{added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null},
    decoder: {type: 'Fuse'},
    model: {type: 'BPE', vocab, merges: []},
  });
  const weights = safetensors(readConfig(dir), (name, shape) => {
    const values = valuesOf(name, shape);
    change?.(name, values, shape);
    return values;
  });
  function valuesOf(name: string, shape: number[]): Float32Array {
    if (shape.length === 1) return new Float32Array(shape[0]).fill(1);
    const scale = 1.4 / Math.sqrt(name.includes('embed') ? 1 : shape[1]);
    const [shared, other] = [namedNormals(name, shape, scale), namedNormals(`draft ${name}`, shape, scale)];
    return shared.map((x, i) => (x + distance * other[i]) / Math.hypot(1, distance));
  }
  fs.writeFileSync(path.join(dir, 'model.safetensors'), weights);
  return dir;
}
