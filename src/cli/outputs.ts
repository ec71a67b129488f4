/** Tries the files and folders that a command will write, so that it refuses before the work what it cannot write. */
import * as fs from 'node:fs';
import * as path from 'node:path';

/**
 * Tries whether a file can be written. Afterwards everything is as it was before.
 * @param option that names the file, for errors
 * @throws Error naming the option and the file
 */
export function tryFile(option: string, file: string): void {
  const refuse = (reason: string, cause?: unknown): Error =>
    new Error(`${option} must be a file that can be written but is ${file}: ${reason}`, {cause});
  const folder = path.dirname(file);
  if (!fs.existsSync(folder)) throw refuse(`there is no folder ${folder}`);
  try {
    const old = fs.statSync(file, {throwIfNoEntry: false});
    if (old) {
      // Opening a pipe or a device is more than a trial.
      if (old.isFile() || old.isDirectory()) fs.closeSync(fs.openSync(file, 'r+'));
    } else if (fs.lstatSync(file, {throwIfNoEntry: false})) {
      tryFile(option, path.resolve(folder, fs.readlinkSync(file))); // a link whose file is still to be written
    } else {
      fs.closeSync(fs.openSync(file, 'wx'));
      fs.rmSync(file);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    throw refuse((error as Error).message, error);
  }
}

/**
 * Tries whether a folder can be made, and files written in it. Afterwards everything is as it was before.
 * @param option that names the folder, for errors
 * @param names of files that will be written, relative to the folder
 * @throws Error naming the option and the folder or file
 */
export function tryFolder(option: string, folder: string, names: readonly string[]): void {
  for (const name of names) {
    const file = path.join(folder, name);
    const parent = path.dirname(file);
    let made: string | undefined;
    try {
      made = fs.mkdirSync(parent, {recursive: true});
    } catch (error) {
      throw new Error(
        `${option} must be a folder that can be written but is ${folder}: ${(error as Error).message}`,
        {cause: error},
      );
    }
    try {
      tryFile(option, file);
    } finally {
      if (made !== undefined) removeEmpty(parent, made);
    }
  }
}

/** Removes the empty folders from `last` up to `first`, which holds it. */
function removeEmpty(last: string, first: string): void {
  for (
    let folder = path.resolve(last);
    folder.startsWith(path.resolve(first));
    folder = path.dirname(folder)
  ) {
    try {
      fs.rmdirSync(folder);
    } catch {
      return; // another process has written in it
    }
  }
}
