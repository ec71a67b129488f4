/** Tests of a request for a backend whose npm package is missing or does not load. */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';

describe('a backend whose package cannot be loaded', () => {
  let folder: string;
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-packages-'));
  });
  after(() => fs.rmSync(folder, {recursive: true}));

  /** The reason that importBackend gives if only the packages in `folder` are installed. */
  function reason(name: string): string {
    // A module resolves packages from its own folder, so it must be a copy in `folder`.
    fs.cpSync(path.join(packageRoot, 'dist', 'backend'), path.join(folder, 'backend'), {
      recursive: true,
    });
    fs.writeFileSync(path.join(folder, 'package.json'), '{}');
    const script = `process.stdout.write(require('./backend/packages.js').importBackend('${name}'))`;
    const {stdout, stderr} = spawnSync(process.execPath, ['-e', script], {encoding: 'utf8', cwd: folder});
    expect(stderr).to.equal('');
    return stdout;
  }

  it('gives the names of its packages and how to install one as the reason', () => {
    expect(reason('wasm')).to.equal(
      "@tensorflow/tfjs-backend-wasm is not installed. 'npm install @tensorflow/tfjs-backend-wasm' installs it",
    );
    expect(reason('tensorflow')).to.match(
      /^@tensorflow\/tfjs-node-gpu is not installed; @tensorflow\/tfjs-node is not installed\. 'npm install/,
    );
  });

  it('gives the error of an installed package as the reason', () => {
    const installed = path.join(folder, 'node_modules', '@tensorflow', 'tfjs-node');
    fs.mkdirSync(installed, {recursive: true});
    fs.writeFileSync(path.join(installed, 'index.js'), "throw new Error('no binding \\nbuild it');");
    expect(reason('tensorflow')).to.include('; @tensorflow/tfjs-node could not be loaded: no binding. ');
  });
});
