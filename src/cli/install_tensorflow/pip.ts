/** Wheels from a package index: pip finds them, verifies their checksums, and knows this machine's mirrors and proxies. */
import {spawn, spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {say, withProgress} from '../terminal.js';
import {machine, platformTags} from './target.js';
import {sha256} from './wheel.js';

const PIPS = [['python3', '-m', 'pip'], ['python', '-m', 'pip'], ['pip3'], ['pip']];

/** Wheels carry the same libraries for every Python: which one is asked for need not be installed here. */
const PYTHON_VERSION = '3.12';

/** Where downloaded wheels are kept. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME;
  return path.join(base ? base : path.join(os.homedir(), '.cache'), 'specattn', 'wheels');
}

/** The wheel of a requirement such as `tensorflow-cpu==2.21.0`: the one in the cache, or downloaded now. */
export async function fetchWheel(requirement: string): Promise<string> {
  const folder = path.join(cacheFolder(), `${requirement.replace(/[^\w.-]+/g, '_')}-${machine()}`);
  const cached = await fromCache(folder);
  if (cached) {
    say(`specattn: ${path.basename(cached)} is in the cache`);
    return cached;
  }
  // A folder is given its name when all is in it, so that a stopped download leaves none.
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

/** The wheel in a folder of the cache, if it is still what was downloaded. */
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
  // What pip says is for people: its standard output goes to ours of errors.
  const child = spawn(command, args, {stdio: ['ignore', 2, 2]});
  const status = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (status !== 0) {
    throw new Error(
      `${pip.join(' ')} could not download ${requirement} for Linux ${machine()} (its message is above). ` +
        'Where its index cannot be reached, download the wheel elsewhere and name it with --from',
    );
  }
}
