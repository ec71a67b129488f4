/** Helpers for tests that need programs which a machine may lack. */
import * as fs from 'node:fs';
import * as path from 'node:path';

/** The file of a program on the PATH; undefined if there is none. */
export function which(program: string): string | undefined {
  const names = process.platform === 'win32' ? [program, `${program}.exe`] : [program];
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .flatMap((folder) => names.map((name) => path.join(folder, name)))
    .find((file) => fs.existsSync(file));
}

/** A `describe` that is skipped if one of `programs` is missing; the title then names the missing ones. */
export function describeWith(programs: string[], title: string, body: (this: Mocha.Suite) => void): void {
  const missing = programs.filter((program) => which(program) === undefined);
  if (missing.length) describe.skip(`${title} (not found: ${missing.join(', ')})`, body);
  else describe(title, body);
}
