/** Tests with a device that is found but cannot be opened. */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {onBackend} from '../backends.js';

/** The real addon, except that it reports a GPU whose memory is used up. */
const ADDON = `
const real = require(${JSON.stringify(process.env.SPECATTN_ADDON ?? path.join(packageRoot, 'build', 'Release', 'specattn.node'))});
class Device {
  constructor(name) {
    if (name === 'cuda') throw new Error('[cuda] no memory for 16384 counters');
    return new real.Device(name);
  }
}
const gpu = {name: 'cuda', available: true, description: 'a GPU', reason: ''};
module.exports = {...real, Device, probe: () => real.probe().map((device) => (device.name === 'cuda' ? gpu : device))};
`;
const PROGRAM = `
const {load, describeDevices} = require(${JSON.stringify(path.join(__dirname, '..', '..', 'src', 'index.js'))});
const found = describeDevices().device;
load().then((lm) => console.log(JSON.stringify({found, device: lm.device, after: describeDevices()})));
`;

onBackend('specattn', 'a device that is found but does not open', () => {
  const run = (device: string | undefined, args: string[]) => {
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-')), 'addon.js');
    try {
      fs.writeFileSync(file, ADDON);
      const env: NodeJS.ProcessEnv = {...process.env, SPECATTN_ADDON: file, SPECATTN_DEVICE: device};
      if (device === undefined) delete env.SPECATTN_DEVICE;
      return spawnSync(process.execPath, args, {encoding: 'utf8', env});
    } finally {
      fs.rmSync(path.dirname(file), {recursive: true});
    }
  };
  const reason = '[cuda] no memory for 16384 counters';

  it('is replaced by the next device, with a message that gives the reason', () => {
    const {stdout, stderr} = run(undefined, ['-e', PROGRAM]);
    expect(stderr).to.contain(`specattn: the device cuda can't be used: ${reason}`);
    const {found, device, after} = JSON.parse(stdout);
    expect(found).to.equal('cuda');
    expect(device).to.match(/^cpu /);
    expect(after.device).to.equal('cpu');
    expect(after.devices[0]).to.include({name: 'cuda', available: false, reason});
  });

  it('is an error if SPECATTN_DEVICE asks for it', () => {
    const {status, stderr} = run('cuda', ['-e', PROGRAM]);
    expect(status).to.not.equal(0);
    expect(stderr).to.contain(`SPECATTN_DEVICE asks for cuda, but ${reason}`);
  });

  it('is reported as not available by `specattn doctor`', () => {
    const {stdout} = run(undefined, [path.join(packageRoot, 'bin', 'specattn.js'), 'doctor']);
    expect(stdout).to.match(/^runs on +cpu$/m);
    expect(stdout).to.contain(`device cuda    not available: ${reason}`);
  });
});
