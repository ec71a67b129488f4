import {readConfig} from '../../models/hf/config.js';
import {hasLongContext, ropeFrequencies} from '../../models/llama/rope.js';
import {expectClose} from '../compare.js';
import {goldens} from './golden.js';

describe('ropeFrequencies', () => {
  for (const {name, model, tokens, frequencies, scale} of goldens) {
    it(`equals transformers': ${name}`, () => {
      const config = readConfig(model);
      const rope = ropeFrequencies(config, hasLongContext(config, tokens.length));
      // transformers computes in float32, with a few roundings.
      expectClose(rope.frequencies, frequencies, {relative: 4e-7, absolute: 0});
      expectClose([rope.scale], [scale], {relative: 1e-12, absolute: 0});
    });
  }
});
