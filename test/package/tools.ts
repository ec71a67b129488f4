/** Programs that a machine may lack. */
import * as fs from 'node:fs';
import * as path from 'node:path';

/** Where a program of the PATH is. */
export function which(program: string): string | undefined {
  const names = process.platform === 'win32' ? [program, `${program}.exe`] : [program];
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .flatMap((folder) => names.map((name) => path.join(folder, name)))
    .find((file) => fs.existsSync(file));
}

/** A `describe` that is skipped where a program is missing; its title says which. */
export function describeWith(programs: string[], title: string, body: (this: Mocha.Suite) => void): void {
  const missing = programs.filter((program) => which(program) === undefined);
  if (missing.length) describe.skip(`${title} (not found: ${missing.join(', ')})`, body);
  else describe(title, body);
}
