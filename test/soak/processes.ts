/** Checks processes that write in several threads, and processes that end in the middle of an answer. */
import {spawn} from 'node:child_process';
import * as path from 'node:path';
import {expect} from 'chai';

import type {Checks} from './checks.js';

/** Milliseconds after which a process that should have ended counts as hanging. */
const PATIENCE = 300_000;

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Runs a program of `program.ts`, and sends it the signal `kill` when it has begun to write. */
function run(program: string, kill?: NodeJS.Signals): Promise<Ended> {
  const child = spawn(process.execPath, [path.join(__dirname, 'program.js'), program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE,
    killSignal: 'SIGKILL',
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
    if (kill && stdout.includes('writing')) child.kill(kill);
  });
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({code, signal, stdout, stderr}));
  });
}

/** Expects a program to have printed `count` equal answers. */
function expectSameAnswers({code, stdout, stderr}: Ended, count: number): void {
  expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});
  const answers = JSON.parse(stdout.slice(stdout.indexOf('['))) as number[][];
  expect(answers).to.have.lengthOf(count);
  expect(answers[0].length).to.be.greaterThan(0);
  for (const answer of answers) expect(answer).to.deep.equal(answers[0]);
}

export async function soakProcesses(checks: Checks): Promise<void> {
  await checks.run('three worker threads and the main thread write the same at once', async () =>
    expectSameAnswers(await run('workers'), 4),
  );
  await checks.run('a worker thread may be ended in the middle of an answer', async () =>
    expectSameAnswers(await run('terminate'), 5),
  );
  for (const program of ['exit', 'exit later', 'exit beside workers'])
    await checks.run(
      `process.exit in the middle of an answer ends the process with its code: ${program}`,
      async () => {
        const {stdout: _, ...ended} = await run(program);
        expect(ended).to.deep.equal({code: 7, signal: null, stderr: ''});
      },
    );
  await checks.run('an error beside an answer ends the process as ever', async () => {
    const {code, signal, stderr} = await run('throw');
    expect({code, signal}).to.deep.equal({code: 1, signal: null});
    expect(stderr).to.include('Error: thrown beside the answer');
  });
  for (const kill of ['SIGINT', 'SIGTERM'] as const)
    await checks.run(`${kill} ends a process in the middle of an answer`, async () => {
      const {code, signal, stderr} = await run('write on', kill);
      expect({code, signal, stderr}).to.deep.equal({code: null, signal: kill, stderr: ''});
    });
}
