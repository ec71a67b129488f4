/** Parsers for the values of command-line options. The library checks their ranges. */
import {InvalidArgumentError} from 'commander';

/** The command line is wrong; the command ends with exit code 2. */
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

/** A SHA-256 as 64 hexadecimal digits, returned in lower case. */
export function sha256(text: string): string {
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new InvalidArgumentError('It must be 64 hexadecimal digits.');
  return text.toLowerCase();
}

/** Collects the values of an option that may be given several times. */
export function collect(text: string, before: string[] = []): string[] {
  return [...before, text];
}
