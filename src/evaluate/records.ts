/**
 * The folders that evaluations write. Every finished piece of work is appended to a file of JSON lines at once, so that
 * a run which was ended can go on from there; the results are written when all is done.
 */
import {appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync} from 'node:fs';
import {totalmem} from 'node:os';
import * as path from 'node:path';

import type {PasskeyRecord} from './passkey.js';
import type {MethodResult, WindowRecord} from './result.js';
import {passkeyTable, resultTable} from './tables.js';

/** What the results of a folder were made with: its file `run.json`. */
export interface RunAbout {
  /** The pair in words. */
  pair: string;
  /** The machine in words. */
  machine: string;
  /** The day on which the evaluation ended, such as 2026-11-29. */
  date: string;
}

/**
 * Names a pair by its folders, as the options of `load` give them.
 * @param draft null or false: there is none
 */
export function pairInWords(draft: string | null | false | undefined, verifier: string | undefined): string {
  const name = (folder: string) => path.basename(path.resolve(folder));
  if (draft === null || draft === false || (draft === undefined && verifier !== undefined))
    return `${verifier === undefined ? 'the embedded verifier' : name(verifier)} without a draft`;
  if (draft === undefined) return 'the embedded pair';
  return `${name(draft)} for ${verifier === undefined ? 'the embedded verifier' : name(verifier)}`;
}

/** Says with which pair, where and when results are made: now, on this machine. */
export function aboutRun(pair: string, device: string): RunAbout {
  const machine = `${device}, ${Math.round(totalmem() / 2 ** 30)} GB, Node ${process.version}`;
  return {pair, machine, date: new Date().toISOString().slice(0, 10)};
}

/** The folder of a perplexity evaluation: `windows.jsonl`, `results.jsonl`, `run.json` and the table `results.md`. */
export class EvaluationFolder {
  static readonly FILES = ['windows.jsonl', 'results.jsonl', 'run.json', 'results.md'];
  /** The records of earlier runs. */
  readonly records: WindowRecord[];
  private readonly file: string;

  /** @throws Error where the folder cannot be made, or a line of `windows.jsonl` is no record */
  constructor(private readonly folder: string) {
    this.file = path.join(folder, 'windows.jsonl');
    this.records = readRecords(
      this.file,
      "a window's record",
      ({key, scores, reads}: WindowRecord) => typeof key === 'string' && Boolean(scores && reads),
    );
  }

  append(record: WindowRecord): void {
    appendLine(this.file, record);
  }

  finish(results: readonly MethodResult[], about: RunAbout): void {
    const lines = results.map((result) => `${JSON.stringify(result)}\n`);
    writeFileSync(path.join(this.folder, 'results.jsonl'), lines.join(''));
    writeFileSync(path.join(this.folder, 'results.md'), `${resultTable(results)}\n`);
    writeAbout(this.folder, about);
  }
}

/** The folder of a passkey evaluation: `passkey.jsonl`, `run.json` and the table `passkey.md`. */
export class PasskeyFolder {
  static readonly FILES = ['passkey.jsonl', 'run.json', 'passkey.md'];
  /** The records of earlier runs. */
  readonly records: PasskeyRecord[];
  private readonly file: string;

  /** @throws Error where the folder cannot be made, or a line of `passkey.jsonl` is no record */
  constructor(private readonly folder: string) {
    this.file = path.join(folder, 'passkey.jsonl');
    this.records = readRecords(
      this.file,
      "a passkey's record",
      ({task, id}: PasskeyRecord) => task === 'passkey' && typeof id === 'string',
    );
  }

  append(record: PasskeyRecord): void {
    appendLine(this.file, record);
  }

  finish(records: readonly PasskeyRecord[], about: RunAbout): void {
    writeFileSync(path.join(this.folder, 'passkey.md'), `${passkeyTable(records)}\n`);
    writeAbout(this.folder, about);
  }
}

function writeAbout(folder: string, about: RunAbout): void {
  writeFileSync(path.join(folder, 'run.json'), `${JSON.stringify(about)}\n`);
}

function appendLine(file: string, record: unknown): void {
  appendFileSync(file, `${JSON.stringify(record)}\n`);
}

/**
 * Reads the records of a file and makes its folder; a file that does not exist has none. A last line without a newline
 * was cut off when the run before crashed, so it is removed from the file.
 * @param what names a record in the error message
 * @throws Error where the folder cannot be made or a line is no record
 */
function readRecords<T>(file: string, what: string, isRecord: (value: T) => boolean): T[] {
  mkdirSync(path.dirname(file), {recursive: true});
  if (!existsSync(file)) return [];
  const content = readFileSync(file);
  const end = content.lastIndexOf('\n') + 1;
  if (end < content.length) truncateSync(file, end);
  const lines = content.toString('utf8', 0, end).split('\n').slice(0, -1);
  return lines.map((line, i) => {
    try {
      const record = JSON.parse(line) as T;
      if (isRecord(record)) return record;
    } catch {
      // The error below tells of it.
    }
    throw new Error(`${file}: line ${i + 1} must be ${what} as JSON but is '${line.slice(0, 40)}'`);
  });
}
