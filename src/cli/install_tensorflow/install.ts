/**
 * The libtensorflow of a Python wheel under an installed tfjs-node(-gpu).
 *
 * All of it lives in the package's folder `.specattn`, one folder a wheel, beside what was there before:
 *
 *     .specattn/2f1c…/deps, lib     libtensorflow with its headers, the binding
 *     .specattn/2f1c…/dist, …       the rest of the package, so that the folder runs before it is put in place
 *     .specattn/previous/deps, lib  what tfjs-node's own installer had put there, if it had
 *     deps, lib                     links to those of the wheel in use
 *
 * Every stage finds what an earlier run has finished, so that one that was stopped goes on; the package changes
 * last, by renames, when the new folder has run an op.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';

import {say, withProgress} from '../terminal.js';
import {UsageError} from '../values.js';
import {compileBinding, type Trial, tryPackage} from './binding.js';
import {cudaRequirements, unpackCuda} from './cuda.js';
import {fetchWheel} from './pip.js';
import {machine, type Target} from './target.js';
import {sha256, Wheel} from './wheel.js';

/** The folders that a TensorFlow of ours takes the place of. */
const PARTS = ['deps', 'lib'];
const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
/** What the binding is linked with. */
const LINKS = {
  'libtensorflow.so': 'libtensorflow_cc.so.2',
  'libtensorflow_framework.so': 'libtensorflow_framework.so.2',
};

export interface Source {
  /** What pip is asked for: `tensorflow-cpu==2.21.0`. */
  requirement?: string;
  /** Or a wheel's file. */
  file?: string;
  /** The SHA-256 that the wheel must have. */
  sha256?: string;
  /** Whether it must be a TensorFlow with CUDA, and whether CUDA's libraries are to be put beside it. */
  gpu: boolean;
  withCuda: boolean;
}

/** What is known of an unpacked wheel; written when all of it is there. */
interface Unpacked {
  requirement?: string;
  sha256: string;
  /** The wheels of CUDA that this TensorFlow names. */
  cuda: string[];
}

export interface Installed extends Unpacked, Trial {
  /** libtensorflow and, if asked for, CUDA's libraries. */
  deps: string;
}

export async function installTensorFlow(target: Target, source: Source): Promise<Installed> {
  const folder = await unpackedFolder(target, source);
  const unpacked = describe(folder)!;
  for (const part of ['package.json', 'binding', 'dist'])
    fs.cpSync(path.join(target.root, part), path.join(folder, part), {recursive: true});
  if (!fs.existsSync(path.join(folder, target.binding))) say(`specattn: compiling ${target.name}'s binding`);
  compileBinding(folder, target);
  if (source.withCuda) await unpackCuda(unpacked.cuda, path.join(folder, 'deps'));
  const trial = tryPackage(folder, `${target.name} ${target.version}`);
  putInPlace(target, folder);
  return {...unpacked, ...trial, deps: path.join(target.root, 'deps')};
}

/** Puts back what was there before; false where there is nothing of ours. */
export function undoInstall(target: Target): boolean {
  const state = stateFolder(target);
  if (!fs.existsSync(state)) return false;
  for (const part of PARTS) {
    const place = path.join(target.root, part);
    const previous = path.join(state, 'previous', part);
    if (isOurs(place)) fs.unlinkSync(place);
    if (fs.existsSync(previous) && !fs.existsSync(place)) fs.renameSync(previous, place);
  }
  fs.rmSync(state, {recursive: true});
  return true;
}

function stateFolder(target: Target): string {
  return path.join(target.root, '.specattn');
}

function isOurs(place: string): boolean {
  const link = fs.lstatSync(place, {throwIfNoEntry: false});
  return link?.isSymbolicLink() === true && fs.readlinkSync(place).startsWith(`.specattn${path.sep}`);
}

/** Makes `deps` and `lib` of the package links into `folder`. What others had put there is kept. */
function putInPlace(target: Target, folder: string): void {
  const state = stateFolder(target);
  for (const part of PARTS) {
    const place = path.join(target.root, part);
    const previous = path.join(state, 'previous', part);
    if (fs.existsSync(place) && !isOurs(place)) {
      fs.rmSync(previous, {recursive: true, force: true}); // older than what is there now
      fs.mkdirSync(path.dirname(previous), {recursive: true});
      fs.renameSync(place, previous);
    }
    const link = path.join(state, `${part}.link`);
    fs.rmSync(link, {force: true});
    fs.symlinkSync(path.relative(target.root, path.join(folder, part)), link);
    fs.renameSync(link, place);
  }
  for (const name of fs.readdirSync(state)) {
    if (name !== 'previous' && name !== path.basename(folder))
      fs.rmSync(path.join(state, name), {recursive: true, force: true});
  }
}

function describe(folder: string): Unpacked | undefined {
  const file = path.join(folder, 'wheel.json');
  return fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, 'utf8')) as Unpacked) : undefined;
}

/** The folder in which the wheel is unpacked, now or by an earlier run. */
async function unpackedFolder(target: Target, source: Source): Promise<string> {
  const state = stateFolder(target);
  const {requirement, sha256: expected} = source;
  const before = fs.existsSync(state) ? fs.readdirSync(state).map((name) => path.join(state, name)) : [];
  const found = before.find((folder) => {
    const unpacked = describe(folder);
    return (
      requirement &&
      unpacked?.requirement === requirement &&
      unpacked.sha256 === (expected ?? unpacked.sha256)
    );
  });
  if (found) return found;

  const file = source.file ?? (await fetchWheel(requirement!));
  if (!fs.existsSync(file)) throw new UsageError(`--from ${file}: there is no such file`);
  const hash = await withProgress((onProgress) => sha256(file, onProgress));
  if (expected && hash !== expected)
    throw new Error(`${path.basename(file)} has SHA-256 ${hash}, expected ${expected}`);
  const folder = path.join(state, hash.slice(0, 16));
  if (describe(folder)) return folder;

  const wheel = await Wheel.open(file);
  try {
    await checkWheel(wheel, source);
    say(`specattn: unpacking ${path.basename(file)}`);
    await unpackTensorFlow(wheel, path.join(target.root, 'binding'), path.join(folder, 'deps'));
    const unpacked: Unpacked = {requirement, sha256: hash, cuda: await cudaRequirements(wheel)};
    const description = path.join(folder, 'wheel.json');
    fs.writeFileSync(`${description}.part`, JSON.stringify(unpacked, null, 2));
    fs.renameSync(`${description}.part`, description);
  } finally {
    wheel.close();
  }
  return folder;
}

/** Refuses what is no TensorFlow, or none for this machine. */
async function checkWheel(wheel: Wheel, {gpu}: Source): Promise<void> {
  const name = path.basename(wheel.file);
  for (const library of LIBRARIES) {
    if (!wheel.has(`tensorflow/${library}`)) {
      throw new Error(
        `${name} holds no tensorflow/${library}: expected a wheel of tensorflow or tensorflow-cpu for Linux, 2.16 or newer`,
      );
    }
  }
  const tags = await wheel.headers('WHEEL', 'Tag');
  if (!tags.some((tag) => tag.endsWith(`_${machine()}`)))
    throw new Error(`${name} is for ${tags.join(', ')}; this machine is linux_${machine()}`);
  const [distribution] = await wheel.headers('METADATA', 'Name');
  if (gpu && /[-_]cpu/.test(distribution))
    throw new Error(`${name} has no CUDA: with --gpu expected a wheel of tensorflow, not of ${distribution}`);
}

/** Unpacks libtensorflow and the headers that the binding includes. */
async function unpackTensorFlow(wheel: Wheel, binding: string, deps: string): Promise<void> {
  const lib = path.join(deps, 'lib');
  const libraries = new Map(LIBRARIES.map((library) => [`tensorflow/${library}`, path.join(lib, library)]));
  await withProgress((onProgress) => wheel.unpack(libraries, onProgress));
  for (const [link, library] of Object.entries(LINKS)) {
    fs.rmSync(path.join(lib, link), {force: true});
    fs.symlinkSync(library, path.join(lib, link));
  }
  // Of the wheel's 13,000 headers some dozen are wanted: those the binding includes, and those these include in turn.
  const headers = new Set(fs.readdirSync(binding).flatMap((file) => includes(path.join(binding, file))));
  for (const header of headers) {
    const file = `tensorflow/include/${header}`;
    if (!wheel.has(file)) continue; // the binding's own
    const place = path.join(deps, 'include', header);
    await wheel.unpack(new Map([[file, place]]));
    for (const included of includes(place)) headers.add(included);
  }
}

function includes(source: string): string[] {
  return [...fs.readFileSync(source, 'utf8').matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)].map(
    ([, header]) => header,
  );
}
