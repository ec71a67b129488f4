/** Fuzz target: layer maps of both kinds, read from a file or given as an object. */
import * as fc from 'fast-check';

import {readConfig, type LlamaConfig} from '../../../models/hf/config.js';
import {readLayerMap, type LayerMap} from '../../../models/layer_map.js';
import {planSelection} from '../../../src/selection/plan.js';
import {layerMapOf} from '../../decoding/tiny_pair.js';
import {hostileJson, hostileValue, namesField, type HostileFile} from '../hostile.js';
import type {Target} from '../target.js';
import {CaseFolder, pairFolders} from './folder.js';

const folder = new CaseFolder();
let configs: {draft: LlamaConfig; verifier: LlamaConfig};

/** Placeholders for the hashes of the configurations, which are known only after set-up. */
const [DRAFT, VERIFIER] = ['draft-hash', 'verifier-hash'];
const KL = layerMapOf(DRAFT, VERIFIER);
const half = {
  heads: [
    [0, 1, 0.5],
    [1, 3, 0.25],
  ],
  own: 0.25,
};
const MIXTURE = {
  ...KL,
  kind: 'mixture',
  mixture: {
    layers: [half, half, half],
    groups: [
      [half, half],
      [half, half],
      [half, half],
    ],
    ownRows: 8,
    kl: [0.1, 0.1, 0.1],
  },
};

interface Input {
  file: HostileFile;
  /** whether the map is given as an object instead of a file */
  memory: boolean;
  granularity: 'layer' | 'head';
  /** a value that no JSON file can hold, for maps given as objects */
  odd?: unknown;
}

export const layerMap: Target<Input> = {
  name: 'layer_map.json',
  share: 10,
  input: fc.record({
    file: fc.constantFrom(KL, MIXTURE).chain(hostileJson),
    memory: fc.boolean(),
    granularity: fc.constantFrom('layer', 'head'),
    odd: fc.option(
      fc.constantFrom<unknown>(1n, Symbol('x'), () => 1, [1n], hostileValue),
      {nil: undefined, freq: 9},
    ),
  }),
  setUp: () => {
    const pair = pairFolders();
    configs = {draft: readConfig(pair.draft), verifier: readConfig(pair.verifier)};
  },
  run: ({file, memory, granularity, odd}) => {
    const text = new TextDecoder().decode(file.bytes);
    const content = text
      .replaceAll(DRAFT, configs.draft.sha256)
      .replaceAll(VERIFIER, configs.verifier.sha256);
    let source: string | LayerMap = folder.write('layer_map.json', content);
    if (memory) {
      try {
        source = {
          ...(JSON.parse(content) as LayerMap),
          ...(odd === undefined ? {} : {layers: odd as number[]}),
        };
      } catch {
        return;
      }
    }
    const map = readLayerMap(source, configs.draft, configs.verifier);
    const plan = planSelection(map, configs.draft, configs.verifier, {granularity, denseLayers: 1});
    if (!plan.mix.flat().every(Number.isFinite))
      throw new TypeError(`weights of ${JSON.stringify(plan.mix)}`);
  },
  names: (message, {file, memory, odd}) => {
    const field = memory && odd !== undefined ? {...file, changed: undefined} : file;
    return namesField(message, memory ? 'layerMap' : folder.file('layer_map.json'), field, RELATED);
  },
  tearDown: () => folder.remove(),
};

/** The field `mixture` may be refused because `kind` was changed. */
const RELATED = {mixture: ['kind']};
