/**
 * Downloads wheels with pip, which verifies their checksums and knows the mirrors and proxies of this machine, and
 * caches them.
 */
import {spawn, spawnSync, type ChildProcess} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import {setTimeout as wait} from 'node:timers/promises';

import {say, withProgress} from '../terminal.js';
import {machine, platformTags} from './target.js';
import {sha256} from './wheel.js';

/** The escape sequence by which terminals show their cursor. */
const SHOW_CURSOR = '\x1b[?25h';
const PIPS = [['python3', '-m', 'pip'], ['python', '-m', 'pip'], ['pip3'], ['pip']];

/**
 * The Python version whose wheel is fetched. Every version's wheel has the same libraries, so this Python need not be
 * installed.
 */
const PYTHON_VERSION = '3.12';

/** The folder in which downloaded wheels are kept. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME;
  return path.join(base ? base : path.join(os.homedir(), '.cache'), 'specattn', 'wheels');
}

/**
 * The file of the wheel for a requirement such as `tensorflow-cpu==2.21.0`, from the cache or downloaded.
 * @throws Error where pip is missing or cannot download it
 */
export async function fetchWheel(requirement: string): Promise<string> {
  const folder = path.join(cacheFolder(), `${requirement.replace(/[^\w.-]+/g, '_')}-${machine()}`);
  const cached = await fromCache(folder);
  if (cached) {
    say(`specattn: ${path.basename(cached)} is in the cache`);
    return cached;
  }
  // The folder gets its name only when it is complete, so a stopped download leaves no incomplete entry in the cache.
  const partial = `${folder}.partial`;
  for (const leftover of [partial, folder]) fs.rmSync(leftover, {recursive: true, force: true});
  fs.mkdirSync(partial, {recursive: true});
  say(`specattn: downloading ${requirement} with pip`);
  await download(requirement, partial);
  const [wheel] = fs.readdirSync(partial);
  fs.writeFileSync(path.join(partial, 'sha256'), await sha256(path.join(partial, wheel)));
  fs.renameSync(partial, folder);
  return path.join(folder, wheel);
}

/** The wheel in a folder of the cache, if its SHA-256 is still that of the download. */
async function fromCache(folder: string): Promise<string | undefined> {
  if (!fs.existsSync(folder)) return undefined;
  const name = fs.readdirSync(folder).find((file) => file.endsWith('.whl'));
  if (!name) return undefined;
  const wheel = path.join(folder, name);
  const expected = fs.readFileSync(path.join(folder, 'sha256'), 'utf8');
  return (await withProgress((onProgress) => sha256(wheel, onProgress))) === expected ? wheel : undefined;
}

async function download(requirement: string, folder: string): Promise<void> {
  const pip = PIPS.find(([command, ...args]) => spawnSync(command, [...args, '--version']).status === 0);
  if (!pip) {
    throw new Error(
      `${requirement} cannot be downloaded: pip was not found (tried ${PIPS.map((pip) => pip.join(' ')).join(', ')}). ` +
        "Install Python's pip, or download the wheel elsewhere and name it with --from",
    );
  }
  const [command, ...args] = [
    ...pip,
    ...['download', requirement, '--dest', folder, '--no-deps', '--disable-pip-version-check'],
    ...['--only-binary=:all:', '--python-version', PYTHON_VERSION],
    ...platformTags().flatMap((tag) => ['--platform', tag]),
    ...(process.stderr.isTTY ? [] : ['--quiet']),
  ];
  const status = await run(command, args);
  if (status !== 0) {
    throw new Error(
      `${pip.join(' ')} could not download ${requirement} for Linux ${machine()} (its message is above). ` +
        'Where its index cannot be reached, download the wheel elsewhere and name it with --from',
    );
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** How long pip has to end after Ctrl-C, which reaches it from the terminal too, in ms. */
const GRACE = 1000;

/**
 * Runs pip, which hides the cursor of a terminal while it downloads. A signal to this process ends pip first. Where the
 * signal left pip no time to show the cursor again, that is done here.
 * @returns the exit status; null where a signal ended pip
 */
async function run(command: string, args: string[]): Promise<number | null> {
  let pip: ChildProcess | undefined;
  let received: NodeJS.Signals | undefined;
  const end = (signal: NodeJS.Signals) => {
    received = signal;
    // At SIGINT pip removes what it has downloaded in part.
    setTimeout(() => pip?.kill('SIGINT'), signal === 'SIGINT' ? GRACE : 0).unref();
  };
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    // pip's messages are for people, so both of its outputs go to standard error.
    const child = spawn(command, args, {stdio: ['ignore', 2, 2]});
    pip = child;
    const status = await new Promise<number | null>((resolve, reject) =>
      child.on('error', reject).on('close', resolve),
    );
    // Ctrl-C reaches both processes; the end of pip may be told before the signal is.
    if (status !== 0) await wait(100);
    return status;
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, end);
    if (process.stderr.isTTY) process.stderr.write(SHOW_CURSOR);
    if (received) process.kill(process.pid, received);
  }
}
