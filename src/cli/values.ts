/** How the values of options are read. Their ranges are the library's to check. */
import {readFileSync} from 'node:fs';

import {InvalidArgumentError} from 'commander';

/** The command line asks for what cannot be: exit code 2. */
export class UsageError extends Error {}

export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

export function wholeNumber(text: string): number {
  const value = number(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

/** `--gamma 4` or `--gamma adaptive`. */
export function gamma(text: string): number | 'adaptive' {
  if (text === 'adaptive') return text;
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value))
    throw new InvalidArgumentError("It must be a whole number or 'adaptive'.");
  return value;
}

/** A SHA-256 as it is usually written. */
export function sha256(text: string): string {
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new InvalidArgumentError('It must be 64 hexadecimal digits.');
  return text.toLowerCase();
}

/** For options that may be given again and again. */
export function collect(text: string, before: string[] = []): string[] {
  return [...before, text];
}

/** A file's text; `-` is standard input. */
export function readText(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read: ${(error as Error).message}`, {cause: error});
  }
}
