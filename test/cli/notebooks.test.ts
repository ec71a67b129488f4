/**
 * Tests that the notebooks of examples/ are stored without output, and that tools/notebooks.js reports a cell that fails.
 * `npm run test:notebooks` executes the notebooks.
 */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {newFolder} from '../decoding/models.js';

const EXAMPLES = path.join(packageRoot, 'examples');
const NOTEBOOKS = fs.readdirSync(EXAMPLES).filter((name) => name.endsWith('.ipynb'));

interface Cell {
  cell_type: string;
  execution_count?: number | null;
  outputs?: unknown[];
  source: string[];
}

/** A notebook of these cells of code. */
function notebook(...sources: string[]): object {
  const cells = sources.map((source, i) => ({
    cell_type: 'code',
    execution_count: null,
    id: `cell-${i}`,
    metadata: {},
    outputs: [],
    source: [source],
  }));
  const kernelspec = {display_name: 'TypeScript', language: 'typescript', name: 'tslab'};
  return {cells, metadata: {kernelspec}, nbformat: 4, nbformat_minor: 5};
}

describe('notebooks', function () {
  this.timeout(300_000);

  it('are three', () => {
    expect(NOTEBOOKS).to.have.members([
      'calibrate_and_evaluate.ipynb',
      'quick_start.ipynb',
      'what_the_verifier_keeps.ipynb',
    ]);
  });

  for (const name of NOTEBOOKS) {
    it(`${name} is stored without output`, () => {
      const {cells, metadata} = JSON.parse(fs.readFileSync(path.join(EXAMPLES, name), 'utf8'));
      expect(metadata.kernelspec.name).to.equal('tslab');
      const code = (cells as Cell[]).filter(({cell_type: type}) => type === 'code');
      expect(code).not.to.be.empty;
      for (const {execution_count: count, outputs} of code)
        expect([count, outputs]).to.deep.equal([null, []]);
    });
  }

  const failing: [string, object, string][] = [
    [
      'does not compile',
      notebook('const x: number = "one";'),
      "Type 'string' is not assignable to type 'number'",
    ],
    ['throws', notebook('console.log("so far");', 'throw new Error("no further");'), 'no further'],
    [
      'shows nothing',
      notebook('if (process.argv.length > 1e6) console.log("never");'),
      'cell 1 of code must show something',
    ],
  ];
  for (const [what, content, message] of failing) {
    it(`fail with a cell that ${what}`, function () {
      const file = path.join(newFolder(), 'failing.ipynb');
      fs.writeFileSync(file, JSON.stringify(content));
      const script = path.join(packageRoot, 'tools', 'notebooks.js');
      const {status, stdout, stderr} = spawnSync(process.execPath, [script, file], {encoding: 'utf8'});
      if (stdout.includes('skipped: ')) this.skip();
      expect(stderr).to.include('failing.ipynb').and.to.include(message);
      expect(status).to.equal(1);
    });
  }
});
