import {execFileSync} from 'node:child_process';
import * as path from 'node:path';

import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';

/** What each example must print. */
const EXAMPLES: [string, RegExp][] = [
  [
    'quick_start',
    /^[^]*\w[^]*\n\d+ tokens\/s on .+; \d+% of the drafts accepted; \d+% of the keys of sparse layers not read\n$/,
  ],
  ['graph_model', /^12288 logits: 3 rows of a vocabulary of 4096\n$/],
  ['stream', /^It was a dark and stormy night;[^]*\w[^]*\n$/],
  [
    'own_kernels',
    /^\d+ of 512 keys hold 90% of the weight on backend \w+\nattention over them differs .* by \d+\.\d%\n$/,
  ],
];

describe('examples', function () {
  this.timeout(120_000);
  for (const [name, printed] of EXAMPLES) {
    it(name, () => {
      const file = path.join(packageRoot, 'dist', 'examples', `${name}.js`);
      expect(
        execFileSync(process.execPath, [file], {encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']}),
      ).to.match(printed);
    });
  }
});
