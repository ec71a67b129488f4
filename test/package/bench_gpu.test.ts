/** Tests that `npm run bench:gpu` runs on any device, at sizes too small for meaningful times. */
import {spawnSync} from 'node:child_process';
import * as path from 'node:path';
import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {describeDevices} from '../../src/index.js';

const SECTIONS = ['bandwidth', 'mask', 'attention', 'step', 'round', 'prefill', 'loading'];

function bench(...args: string[]) {
  const script = path.join(packageRoot, 'dist', 'bench', 'gpu', 'index.js');
  const {status, stdout, stderr} = spawnSync(process.execPath, [script, ...args], {encoding: 'utf8'});
  return {status, stdout, stderr};
}

describe('bench:gpu', () => {
  it('checks, measures and prints one JSON object', function () {
    if (!describeDevices().device) this.skip();
    const {status, stdout, stderr} = bench('--small', '--json');
    expect(stderr).to.equal('');
    expect(status).to.equal(0);
    const result = JSON.parse(stdout);
    expect(result.refcheck).to.equal('passed');
    expect(result.sections.map(({name}: {name: string}) => name)).to.deep.equal(SECTIONS);
    const rows = result.sections.flatMap((section: {rows: object[]}) => section.rows) as Record<
      string,
      any
    >[];
    for (const {id, us, floorUs} of rows) {
      expect(us, id).to.be.above(0);
      if (floorUs !== undefined) expect(floorUs, id).to.be.above(0);
    }
    expect(new Set(rows.map(({id}) => id)).size, 'ids').to.equal(rows.length);
  }).timeout(120_000);

  it('names an unknown or invalid argument', () => {
    expect(bench('--only', 'maks').stderr).to.equal(
      `bench:gpu: --only must be of ${SECTIONS.join(', ')} but one is 'maks'\n`,
    );
    expect(bench('--runs', 'x').stderr).to.contain('--runs must be a whole number >= 1 but is NaN');
    expect(bench('--small', '--random-weights', 'nowhere').stderr).to.contain('nowhere');
  }).timeout(60_000);
});
