/** Tests that TypeScript and the addon accept the same values of `SPECATTN_THREADS`. */
import {spawnSync} from 'node:child_process';
import * as path from 'node:path';
import {expect} from 'chai';

import {addonFile, loadAddon} from '../../backend/addon.js';
import {onBackend} from '../backends.js';

onBackend('specattn', 'SPECATTN_THREADS', () => {
  const loaded = loadAddon();
  const most = 'addon' in loaded ? loaded.addon.maxThreads : 0;

  const run = (SPECATTN_THREADS: string, program: string): string => {
    const env = {...process.env, SPECATTN_THREADS, SPECATTN_DEVICE: 'cpu'};
    const {status, stdout, stderr} = spawnSync(process.execPath, ['-e', program], {encoding: 'utf8', env});
    expect(status, stderr).to.equal(0);
    return stdout.trim();
  };
  const OPEN = `
    try {
      console.log(new (require(${JSON.stringify(addonFile())}).Device)('cpu').description);
    } catch (error) {
      console.log(error.message);
    }`;
  const DESCRIBE = `
    const {describeDevices} = require(${JSON.stringify(path.join(__dirname, '..', '..', 'backend', 'index.js'))});
    console.log(describeDevices().reason ?? describeDevices().devices.find(({name}) => name === 'cpu').description);`;
  const refusal = (text: string) =>
    `SPECATTN_THREADS must be a whole number from 1 to ${most} but is '${text}'`;

  for (const threads of ['1', '300'])
    it(`${threads}: accepted`, () => {
      const words = threads === '1' ? /, 1 thread,/ : new RegExp(`, ${threads} threads,`);
      expect(run(threads, OPEN)).to.match(words);
      expect(run(threads, DESCRIBE)).to.match(words);
    });

  for (const threads of [String(most + 1), '99999999999', '0', '-1', '2.5', 'many', ''])
    it(`${threads === '' ? 'empty' : threads}: refused`, () => {
      expect(run(threads, OPEN)).to.equal(`[threads] ${refusal(threads)}`);
      expect(run(threads, DESCRIBE)).to.equal(refusal(threads));
    });
});
