/** Finds the package's folder, which holds the addon and the embedded models, also where a bundler has moved this code. */
import {existsSync} from 'node:fs';
import {createRequire} from 'node:module';
import * as path from 'node:path';

/** The file that this code runs from; for an ES module that a bundler made, which has no `__filename`, the program. */
export const here =
  typeof __filename === 'undefined'
    ? (process.argv[1] ?? path.join(process.cwd(), 'program.mjs'))
    : __filename;

const isPackage = (folder: string) =>
  existsSync(path.join(folder, 'package.json')) && existsSync(path.join(folder, 'models', 'pretrained'));

/**
 * The folder that `SPECATTN_HOME` names, else the nearest folder above this file that is the package, else the package
 * that the program could import.
 */
function findPackage(): string | undefined {
  if (process.env.SPECATTN_HOME) return path.resolve(process.env.SPECATTN_HOME);
  for (let folder = path.dirname(here); ; folder = path.dirname(folder)) {
    if (isPackage(folder)) return folder;
    if (folder === path.dirname(folder)) break;
  }
  try {
    return path.dirname(createRequire(here).resolve('specattn/package.json'));
  } catch {
    return undefined;
  }
}

const found = findPackage();

/** The package's folder. Where it is not found, the folder of this file, which then lacks the package's files. */
export const packageRoot = found ?? path.dirname(here);

/** What to do where the package's folder was not found or is not the package; undefined where it is. */
export const homeRemedy = isPackage(packageRoot)
  ? undefined
  : found === undefined
    ? 'this program is a bundle, which contains neither the native addon nor the models: set SPECATTN_HOME to the folder of the package specattn, or leave the package out of the bundle (esbuild: --external:specattn)'
    : `SPECATTN_HOME must be the folder of the package specattn but is '${process.env.SPECATTN_HOME}'`;
