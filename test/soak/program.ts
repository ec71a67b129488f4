/** Small programs that end, or are ended, while they write: `node program.js NAME`. */
import {Worker, isMainThread, parentPort, workerData} from 'node:worker_threads';

import {load, type GenerateOptions} from '../../src/index.js';

const PROMPT = 'The captain looked at the sea and';
const WAY: GenerateOptions = {maxNewTokens: 48, temperature: 0.8, seed: 7};
const ENDLESS: GenerateOptions = {...WAY, maxNewTokens: 4000};
const WORKERS = 3;

/** Writes answers without end, and prints `writing` at the first piece of text. */
async function writeOn(onText: () => void = () => {}): Promise<void> {
  const lm = await load();
  let begun = false;
  for (;;) {
    await lm.generate(PROMPT, {
      ...ENDLESS,
      onText: () => {
        if (!begun) console.log('writing');
        begun = true;
        onText();
      },
    });
  }
}

async function tokens(): Promise<number[]> {
  const lm = await load();
  const answer = await lm.generate(PROMPT, WAY);
  lm.dispose();
  return answer.tokens;
}

/** Starts a worker that runs `name` of {@link IN_WORKERS}; `ended` resolves with its messages and exit code. */
function work(name: string): {worker: Worker; ended: Promise<{messages: unknown[]; code: number}>} {
  const worker = new Worker(__filename, {workerData: name});
  const messages: unknown[] = [];
  worker.on('message', (message) => messages.push(message));
  const ended = new Promise<{messages: unknown[]; code: number}>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', (code) => resolve({messages, code}));
  });
  return {worker, ended};
}

/** Resolves with the worker's first message. */
const firstMessage = (worker: Worker) => new Promise((resolve) => worker.once('message', resolve));

const PROGRAMS: Record<string, () => Promise<unknown>> = {
  /** The main thread and the workers write at the same time. Prints the tokens of all of them. */
  workers: async () => {
    const ended = Array.from({length: WORKERS}, () => work('tokens').ended);
    const all = [await tokens(), ...(await Promise.all(ended)).map(({messages: [written]}) => written)];
    console.log(JSON.stringify(all));
  },
  /** Ends workers in the middle of an answer. The main thread writes before, meanwhile and afterwards. */
  terminate: async () => {
    const before = await tokens();
    const meanwhile: number[][] = [];
    for (let i = 0; i < WORKERS; i++) {
      const {worker, ended} = work('write on');
      await firstMessage(worker);
      const answer = tokens();
      await worker.terminate();
      await ended;
      meanwhile.push(await answer);
    }
    console.log(JSON.stringify([before, ...meanwhile, await tokens()]));
  },
  exit: () => writeOn(() => process.exit(7)),
  'exit later': () => {
    setTimeout(() => process.exit(7), 2000);
    return writeOn();
  },
  'exit beside workers': async () => {
    const workers = Array.from({length: WORKERS}, () => work('write on').worker);
    await Promise.all(workers.map(firstMessage));
    await writeOn(() => process.exit(7));
  },
  throw: () => {
    setTimeout(() => {
      throw new Error('thrown beside the answer');
    }, 2000);
    return writeOn();
  },
  'write on': () => writeOn(),
};

const IN_WORKERS: Record<string, () => Promise<unknown>> = {
  tokens: async () => parentPort!.postMessage(await tokens()),
  'write on': () => writeOn(() => parentPort!.postMessage('writing')),
};

void (isMainThread ? PROGRAMS[process.argv[2]] : IN_WORKERS[workerData as string])();
