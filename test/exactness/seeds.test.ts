/** Tests that a seed gives the same text in every process, and on the CPU with any number of threads. */
import {execFile} from 'node:child_process';
import * as path from 'node:path';
import {promisify} from 'node:util';
import {expect} from 'chai';

import {BACKEND} from '../../backend/index.js';
import {missing} from '../backends.js';
import {passage} from '../decoding/models.js';

const run = promisify(execFile);

/** The tokens that write.ts prints in a new process. */
async function written(environment: NodeJS.ProcessEnv): Promise<number[][]> {
  const program = path.join(__dirname, 'write.js');
  const {stdout} = await run(process.execPath, [program, passage(1).slice(0, 800)], {
    env: {...process.env, ...environment},
  });
  return JSON.parse(stdout) as number[][];
}

(missing(BACKEND) ? describe.skip : describe)('a seed', function () {
  this.timeout(300_000);

  it('gives the same text in every process', async () => {
    const first = await written({});
    expect(first).to.have.lengthOf(5);
    // An end token may end an answer early.
    for (const tokens of first) expect(tokens.length).to.be.within(1, 16);
    expect(first.flat().length).to.be.greaterThan(60);
    expect(await written({})).to.deep.equal(first);
  });

  it('gives the same text on the CPU with any number of threads', async () => {
    const alone = await written({SPECATTN_DEVICE: 'cpu', SPECATTN_THREADS: '1'});
    for (const SPECATTN_THREADS of ['2', '5'])
      expect(await written({SPECATTN_DEVICE: 'cpu', SPECATTN_THREADS}), SPECATTN_THREADS).to.deep.equal(
        alone,
      );
  });
});
