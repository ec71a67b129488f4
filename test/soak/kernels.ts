/** Runs the tests of ops and kernels again, over poisoned buffers with guards. */
import {spawn} from 'node:child_process';
import * as path from 'node:path';
import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {say} from '../../src/cli/terminal.js';
import type {Checks} from './checks.js';

export async function soakKernels(checks: Checks): Promise<void> {
  await checks.run('the tests of ops and kernels, over poisoned buffers with guards', async () => {
    const tests = ['ops', 'backend', 'exactness/rollback*'].map((name) =>
      path.join(packageRoot, 'dist', 'test', name.includes('*') ? `${name}.test.js` : `${name}/*.test.js`),
    );
    const child = spawn(
      process.execPath,
      [require.resolve('mocha/bin/mocha.js'), '--reporter', 'dot', '--timeout', '600000', ...tests],
      {
        cwd: packageRoot,
        env: {...process.env, SPECATTN_POISON: '1', SPECATTN_GUARD: '1'},
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data: Buffer) => (output += data.toString()));
    const code = await new Promise((resolve) => child.once('close', resolve));
    const passing = /(\d+) passing/.exec(output)?.[1];
    expect(code, output.slice(-4000)).to.equal(0);
    say(`  ${passing} tests passed`);
  });
}
