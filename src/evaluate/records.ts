/** An evaluation's folder: files of JSON lines to which every piece of work is appended when it is done, and what they came to. */
import {appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync} from 'node:fs';
import * as path from 'node:path';

import type {PasskeyRecord} from './passkey.js';
import type {MethodResult, WindowRecord} from './result.js';
import {passkeyTable, resultTable} from './tables.js';

/** `windows.jsonl`, `results.jsonl` and the table `results.md`. */
export class EvaluationFolder {
  /** Of earlier runs. */
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

  finish(results: readonly MethodResult[]): void {
    const lines = results.map((result) => `${JSON.stringify(result)}\n`);
    writeFileSync(path.join(this.folder, 'results.jsonl'), lines.join(''));
    writeFileSync(path.join(this.folder, 'results.md'), `${resultTable(results)}\n`);
  }
}

/** `passkey.jsonl` and the table `passkey.md`. */
export class PasskeyFolder {
  /** Of earlier runs. */
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

  finish(records: readonly PasskeyRecord[]): void {
    writeFileSync(path.join(this.folder, 'passkey.md'), `${passkeyTable(records)}\n`);
  }
}

function appendLine(file: string, record: unknown): void {
  appendFileSync(file, `${JSON.stringify(record)}\n`);
}

/** What a file holds, which need not exist; its folder is made. A last line without its end was cut off by a crash: it is taken away. */
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
      // Told below.
    }
    throw new Error(`${file}: line ${i + 1} must be ${what} as JSON but is '${line.slice(0, 40)}'`);
  });
}
