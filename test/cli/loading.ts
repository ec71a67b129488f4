/**
 * A separate program: `node loading.js WAY` shows a progress bar as a command does that loads models, and goes on for
 * ever (`wait`) or ends in the middle in one of the other ways of `WAYS`. `node loading.js pip FOLDER` downloads a wheel
 * with the `python3` of that folder.
 */
import {setTimeout as wait} from 'node:timers/promises';

import {fetchWheel} from '../../src/cli/install_tensorflow/pip.js';
import {withProgress} from '../../src/cli/terminal.js';

const WAYS: Record<string, () => Promise<void> | void> = {
  wait: () => {},
  exit: () => process.exit(3),
  'uncaught error': () => void setTimeout(fail),
  'unhandled rejection': () => void Promise.resolve().then(fail),
  'error of the work': fail,
};

function fail(): never {
  throw new Error('broken');
}

async function load(way: string): Promise<void> {
  await withProgress(async (onProgress) => {
    for (let loaded = 0; ; loaded++) {
      onProgress({what: 'verifier', loaded: loaded % 100, total: 100});
      await wait(2);
      if (loaded === 60) await WAYS[way]();
    }
  });
}

async function download(folder: string): Promise<void> {
  process.env.PATH = `${folder}:${process.env.PATH}`;
  process.env.XDG_CACHE_HOME = folder;
  await fetchWheel('tensorflow-cpu==0.0.0');
}

const [, , way, folder] = process.argv;
void (way === 'pip' ? download(folder) : load(way));
