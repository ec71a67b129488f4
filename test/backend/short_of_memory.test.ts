/** Tests of launches whose workspace cannot be allocated, on the CPU device of processes with a limited address space. */
import {spawnSync} from 'node:child_process';
import {expect} from 'chai';

import {addonFile} from '../../backend/addon.js';
import {onBackend} from '../backends.js';

/** Defines `launch`, `sample` (one launch of Multinomial) and `limit` (the number of MiB by which the process may still grow). */
const PRELUDE = `
const {execFileSync} = require('node:child_process');
const fs = require('node:fs');
const MEBIBYTE = 2 ** 20;
const {Device, kernels} = require(${JSON.stringify(addonFile())});
const device = new Device('cpu');
const launch = (...numbers) => {
  device.descriptor.fill(NaN);
  device.descriptor.set(numbers);
  device.launch();
};
const [FLOAT, INT] = [0, 3];
const MULTINOMIAL = kernels.findIndex(({name}) => name === 'Multinomial');
const logits = device.allocate(128 * MEBIBYTE);
const drawn = device.allocate(4);
/** The scratch memory takes twice the bytes of the logits. */
const sample = (mebibytes) =>
  launch(MULTINOMIAL, 1, 1, 2, logits, FLOAT, 2, 1, (mebibytes * MEBIBYTE) / 4, drawn, INT, 2, 1, 1, 7, 0);
const limit = (mebibytes) => {
  const [pages] = fs.readFileSync('/proc/self/statm', 'utf8').split(' ');
  const bytes = pages * 4096 + mebibytes * MEBIBYTE;
  execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + bytes]);
};
const refusal = (f) => {
  try {
    f();
  } catch (error) {
    return error.message;
  }
};
const results = [];
`;

onBackend('specattn', 'a launch without memory for its workspace', () => {
  before(function () {
    const limits = process.platform === 'linux' && spawnSync('prlimit', ['--version']).status === 0;
    if (!limits) this.skip();
  });

  /** Runs `program` in a new process and returns its `results`. */
  const run = (program: string): unknown => {
    const source = `${PRELUDE}${program}\nconsole.log(JSON.stringify(results));`;
    const env = {...process.env, SPECATTN_THREADS: '1'};
    const {status, signal, stdout, stderr} = spawnSync(process.execPath, ['-e', source], {
      encoding: 'utf8',
      env,
    });
    expect({status, signal}, stderr).to.deep.equal({status: 0, signal: null});
    return JSON.parse(stdout);
  };

  it('fails, and the next launches are refused or run as usual', () => {
    expect(
      run(`
        limit(64);
        results.push(refusal(() => sample(128)));
        results.push(refusal(() => launch(-1, 0, 0, 0)));
        results.push(refusal(() => sample(1)) ?? 'fits');
      `),
    ).to.satisfy(([none, unknown, small]: string[]) => {
      expect(none).to.equal('[Multinomial] no memory for 33554432 running sums');
      expect(unknown).to.match(/^\[launch\] kernel must be a whole number from 0 to \d+ but is -1$/);
      expect(small).to.equal('fits');
      return true;
    });
  });

  it('takes the memory that the allocator keeps for later tensors', () => {
    expect(
      run(`
        device.free(device.allocate(256 * MEBIBYTE));
        const before = device.memory().bytesReserved;
        limit(32);
        results.push(refusal(() => sample(32)) ?? 'fits');
        results.push(before - device.memory().bytesReserved >= 128 * MEBIBYTE);
      `),
    ).to.deep.equal(['fits', true]);
  });
});
