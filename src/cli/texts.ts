/** Reads the texts that commands are given: files, or standard input, in UTF-8 or in UTF-16 with a byte-order mark. */
import {fstatSync, readFileSync} from 'node:fs';

import {say} from './terminal.js';

/** A command that waits this long for its standard input says so, in ms: the pipe may be one that nobody writes to. */
const PATIENCE = 1000;

/** Byte-order marks, which tell the encoding; UTF-32's before UTF-16's, which it begins with. */
const MARKS: [mark: readonly number[], encoding: string][] = [
  [[0xef, 0xbb, 0xbf], 'utf-8'],
  [[0xff, 0xfe, 0, 0], 'UTF-32'],
  [[0, 0, 0xfe, 0xff], 'UTF-32'],
  [[0xff, 0xfe], 'utf-16le'],
  [[0xfe, 0xff], 'utf-16be'],
];

/**
 * The text of a file, or of standard input where `file` is `-`, without a byte-order mark.
 * @throws Error naming the file where it cannot be read or is not text in UTF-8 or in UTF-16 with a byte-order mark
 */
export async function readText(file: string): Promise<string> {
  if (file === '-') return readStandardInput();
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new Error(`${file} cannot be read: ${(error as Error).message}`, {cause: error});
  }
  return decodeText(file, bytes);
}

/**
 * The text of standard input up to its end, without a byte-order mark.
 * @param waiting is said after a while where nothing comes and nobody can see that the command waits
 * @throws Error where it cannot be read or is not text in UTF-8 or in UTF-16 with a byte-order mark
 */
export async function readStandardInput(waiting?: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  const timer = waiting === undefined ? undefined : setTimeout(() => say(waiting), PATIENCE);
  try {
    for await (const chunk of process.stdin) {
      clearTimeout(timer);
      chunks.push(chunk as Uint8Array);
    }
  } catch (error) {
    throw new Error(`standard input cannot be read: ${(error as Error).message}`, {cause: error});
  } finally {
    clearTimeout(timer);
  }
  return decodeText('standard input', Buffer.concat(chunks));
}

/** Whether standard input is a pipe or a file. It may be empty, or a pipe that nobody writes to. */
export function isInputPiped(): boolean {
  try {
    const input = fstatSync(0);
    return input.isFIFO() || input.isFile() || input.isSocket();
  } catch {
    return false; // it is closed
  }
}

/**
 * Decodes text whose encoding its byte-order mark tells, and which is UTF-8 without one.
 * @param name of the text, for errors
 */
function decodeText(name: string, bytes: Uint8Array): string {
  const encoding = MARKS.find(([mark]) => mark.every((byte, i) => bytes[i] === byte))?.[1] ?? 'utf-8';
  const refuse = (fault: string, cause?: unknown): Error =>
    new Error(`${name} must be text in UTF-8, or in UTF-16 with a byte-order mark, but ${fault}`, {cause});
  if (encoding === 'UTF-32') throw refuse('is in UTF-32');
  let text: string;
  try {
    text = new TextDecoder(encoding, {fatal: true}).decode(bytes); // which leaves the mark out
  } catch (error) {
    if (encoding === 'utf-8') throw refuse(`its byte ${firstFault(bytes)} is not UTF-8`, error);
    throw refuse(`is not, though it begins with the mark of ${encoding.toUpperCase()}`, error);
  }
  const zero = text.indexOf('\0');
  if (zero >= 0)
    throw refuse(`its character ${zero} is a zero: it is no text, or in UTF-16 without that mark`);
  return text;
}

/** Position of the first byte that does not belong to a character in UTF-8. */
function firstFault(bytes: Uint8Array): number {
  /** Bytes of the whole characters before `end`; undefined where a fault is among them. */
  const characters = (end: number): number | undefined => {
    try {
      const decoder = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
      return Buffer.byteLength(decoder.decode(bytes.subarray(0, end), {stream: true}));
    } catch {
      return undefined;
    }
  };
  let [good, bad] = [0, bytes.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (characters(middle) === undefined) bad = middle;
    else good = middle;
  }
  return characters(good)!;
}
