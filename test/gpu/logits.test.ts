/** Compares the embedded models' logits of a text on the GPU with those on the CPU. */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import {expect} from 'chai';

import {POSITIONS, ROLES, logitsOf} from './logits.js';
import {onCuda} from './on_cuda.js';

/** The index of the largest number of a row. */
function top(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i] > row[best]) best = i;
  return best;
}

onCuda('logits of the embedded pair', () => {
  const expected: Record<string, Float32Array> = {};

  before(function () {
    this.timeout(300_000);
    const file = path.join(os.tmpdir(), `specattn-logits-${process.pid}`);
    try {
      const {status, stderr} = spawnSync(process.execPath, [path.join(__dirname, 'logits.js'), file], {
        encoding: 'utf8',
        env: {...process.env, SPECATTN_DEVICE: 'cpu'},
      });
      expect(stderr).to.equal('');
      expect(status).to.equal(0);
      const bytes = fs.readFileSync(file);
      const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
      const half = all.length / ROLES.length;
      ROLES.forEach((role, i) => (expected[role] = all.subarray(i * half, (i + 1) * half)));
    } finally {
      fs.rmSync(file, {force: true});
    }
  });

  for (const role of ROLES) {
    // The rows of a prompt, of a block and of single steps run through different kernels.
    for (const rows of [250, 5, 1]) {
      it(`of the ${role} agree with the CPU's, ${rows} row${rows === 1 ? '' : 's'} at a time`, async () => {
        const got = await logitsOf(role, rows);
        const want = expected[role];
        expect(got).to.have.lengthOf(want.length);
        let [squares, errors, worst] = [0, 0, 0];
        for (let i = 0; i < want.length; i++) {
          const error = Math.abs(got[i] - want[i]);
          if (!(error <= worst)) worst = error; // true for NaN too
          squares += want[i] ** 2;
          errors += error ** 2;
        }
        // Activations are rounded to bfloat16 some dozens of times in a model, each time by up to 2^-9 of their value.
        const size = Math.sqrt(squares / want.length);
        expect(Math.sqrt(errors / want.length) / size, 'mean error').to.be.below(0.02);
        expect(worst / size, 'largest error').to.be.below(0.25);

        const vocabulary = want.length / POSITIONS;
        let same = 0;
        for (let at = 0; at < want.length; at += vocabulary)
          if (top(got.subarray(at, at + vocabulary)) === top(want.subarray(at, at + vocabulary))) same++;
        expect(same / POSITIONS, 'the same token on top').to.be.at.least(0.99);
      }).timeout(120_000);
    }
  }
});
