/** Launches that find no memory to work in, on the CPU of a process whose address space is limited. */
import {spawnSync} from 'node:child_process';
import {expect} from 'chai';

import {addonFile} from '../../backend/addon.js';
import {onBackend} from '../backends.js';

/** Defines `launch`, `attend` (one launch of CausalAttention) and `limit` (lets the process grow by so many MiB). */
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
/** The scratch memory takes 16 x heads x (1 + 4 x keys / 128) numbers. */
const attend = (heads, keys) => {
  const shapes = [[16, heads, 1], [1, keys, 1], [1, keys, 1], [1], [16, heads, 1]];
  const handles = shapes.map((shape) => device.allocate(4 * shape.reduce((a, b) => a * b)));
  device.write(handles[3], 0, Int32Array.of(keys - 16));
  const tensors = shapes.flatMap((shape, i) => [handles[i], i === 3 ? INT : FLOAT, shape.length, ...shape]);
  try {
    launch(kernels.findIndex(({name}) => name === 'CausalAttention'), 4, 1, 2, ...tensors, 1, 0);
  } finally {
    handles.forEach((handle) => device.free(handle));
  }
};
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

onBackend('specattn', 'a launch that finds no memory to work in', () => {
  before(function () {
    const limits = process.platform === 'linux' && spawnSync('prlimit', ['--version']).status === 0;
    if (!limits) this.skip();
  });

  /** What `program` puts into `results`. */
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

  it('does not make the next refused descriptor a launch', () => {
    const numbers = 2 ** 20 * (1 + 4 * 2 ** 9);
    expect(
      run(`
        limit(256);
        results.push(refusal(() => attend(2 ** 16, 2 ** 16)));
        results.push(refusal(() => launch(-1, 0, 0, 0)));
        results.push(refusal(() => attend(4, 256)));
        results.push(kernels.length);
      `),
    ).to.satisfy(([none, unknown, fits, kernels]: [string, string, string | null, number]) => {
      expect(none).to.equal(`[CausalAttention] no scratch memory for ${numbers} numbers`);
      expect(unknown).to.equal(`[launch] kernel must be a whole number from 0 to ${kernels - 1} but is -1`);
      expect(fits).to.equal(null);
      return true;
    });
  });

  it('takes what is kept for later tensors', () => {
    expect(
      run(`
        device.free(device.allocate(256 * MEBIBYTE));
        limit(48);
        const before = device.memory().bytesReserved;
        results.push(refusal(() => attend(2 ** 11, 2 ** 14)));
        results.push(before >= 256 * MEBIBYTE, device.memory().bytesReserved < 256 * MEBIBYTE);
      `),
    ).to.deep.equal([null, true, true]);
  });
});
