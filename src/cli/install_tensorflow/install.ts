/**
 * Puts the libtensorflow of a Python wheel under an installed tfjs-node or tfjs-node-gpu.
 *
 * Everything lives in the folder `.specattn` of that package, in one folder for each wheel:
 *
 *     .specattn/2f1c…/deps, lib     libtensorflow with its headers; the compiled binding
 *     .specattn/2f1c…/dist, …       a copy of the rest of the package, so that this folder can be tried before it is put in place
 *     .specattn/previous/deps, lib  what tfjs-node's own installer had installed, if anything
 *     deps, lib                     links to the folders of the wheel in use
 *
 * Each stage skips what an earlier run has finished, so a run that was stopped can be repeated. The package itself
 * changes last, by renames, after the new folder has run an op.
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

/** The folders of the package that are replaced by links. */
const PARTS = ['deps', 'lib'];
const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
/** The names under which the linker looks for the libraries, and the libraries' files. */
const LINKS = {
  'libtensorflow.so': 'libtensorflow_cc.so.2',
  'libtensorflow_framework.so': 'libtensorflow_framework.so.2',
};

/** Where the wheel comes from: either `requirement` or `file` is set. */
export interface Source {
  /** A requirement for pip, such as `tensorflow-cpu==2.21.0`. */
  requirement?: string;
  /** The path of a wheel. */
  file?: string;
  /** The SHA-256 that the wheel must have. */
  sha256?: string;
  /** Whether the wheel must be a TensorFlow with CUDA. */
  gpu: boolean;
  /** Whether CUDA's libraries are fetched, too. */
  withCuda: boolean;
}

/** The contents of `wheel.json`, which is written after a wheel has been unpacked completely. */
interface Unpacked {
  requirement?: string;
  sha256: string;
  /** The requirements of the CUDA wheels that this TensorFlow names. */
  cuda: string[];
}

export interface Installed extends Unpacked, Trial {
  /** The folder of libtensorflow and, if they were asked for, CUDA's libraries. */
  deps: string;
}

/**
 * Installs the wheel under `target` and tries it.
 * @throws Error where a stage fails; the package is then as it was before
 */
export async function installTensorFlow(target: Target, source: Source): Promise<Installed> {
  try {
    fs.accessSync(target.root, fs.constants.W_OK);
  } catch (error) {
    const {message} = error as Error;
    throw new Error(
      `${target.name} must be in a folder that can be written but is in ${target.root}: ${message}`,
      {cause: error},
    );
  }
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

/** Restores what was there before the first install; returns false where nothing was installed. */
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

/** Makes `deps` and `lib` of the package links into `folder`, and keeps what other installers had put there. */
function putInPlace(target: Target, folder: string): void {
  const state = stateFolder(target);
  for (const part of PARTS) {
    const place = path.join(target.root, part);
    const previous = path.join(state, 'previous', part);
    if (fs.existsSync(place) && !isOurs(place)) {
      fs.rmSync(previous, {recursive: true, force: true}); // an older one than `place`
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

/** The folder of the unpacked wheel. Unpacks it unless an earlier run has done so. */
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

/** @throws Error where the wheel is no TensorFlow, or none for this machine */
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

/** Unpacks libtensorflow and the headers that the binding's sources need. */
async function unpackTensorFlow(wheel: Wheel, binding: string, deps: string): Promise<void> {
  const lib = path.join(deps, 'lib');
  const libraries = new Map(LIBRARIES.map((library) => [`tensorflow/${library}`, path.join(lib, library)]));
  await withProgress((onProgress) => wheel.unpack(libraries, onProgress));
  for (const [link, library] of Object.entries(LINKS)) {
    fs.rmSync(path.join(lib, link), {force: true});
    fs.symlinkSync(library, path.join(lib, link));
  }
  // The wheel has 13,000 headers. Only the few that the binding includes, directly or through others, are unpacked.
  const headers = new Set(fs.readdirSync(binding).flatMap((file) => includes(path.join(binding, file))));
  for (const header of headers) {
    const file = `tensorflow/include/${header}`;
    if (!wheel.has(file)) continue; // a header of the binding itself, or of the system
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
