/** An evaluation's folder: `windows.jsonl`, to which every finished window is appended, and what they came to. */
import {appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync} from 'node:fs';
import * as path from 'node:path';

import {resultTable, type MethodResult, type WindowRecord} from './result.js';

export class EvaluationFolder {
  /** Of earlier runs. */
  readonly records: WindowRecord[];
  private readonly file: string;

  /** @throws Error where the folder cannot be made, or a line of `windows.jsonl` is no record */
  constructor(private readonly folder: string) {
    mkdirSync(folder, {recursive: true});
    this.file = path.join(folder, 'windows.jsonl');
    this.records = existsSync(this.file) ? readRecords(this.file) : [];
  }

  append(record: WindowRecord): void {
    appendFileSync(this.file, `${JSON.stringify(record)}\n`);
  }

  /** Writes `results.jsonl` and `results.md`. */
  finish(results: readonly MethodResult[]): void {
    const lines = results.map((result) => `${JSON.stringify(result)}\n`);
    writeFileSync(path.join(this.folder, 'results.jsonl'), lines.join(''));
    writeFileSync(path.join(this.folder, 'results.md'), `${resultTable(results)}\n`);
  }
}

/** A last line without its end was cut off by a crash: it is taken away. */
function readRecords(file: string): WindowRecord[] {
  const content = readFileSync(file);
  const end = content.lastIndexOf('\n') + 1;
  if (end < content.length) truncateSync(file, end);
  const lines = content.toString('utf8', 0, end).split('\n').slice(0, -1);
  return lines.map((line, i) => {
    try {
      const record = JSON.parse(line) as WindowRecord;
      if (typeof record.key === 'string' && record.scores && record.reads) return record;
    } catch {
      // Told below.
    }
    throw new Error(`${file}: line ${i + 1} must be a window's record as JSON but is '${line.slice(0, 40)}'`);
  });
}
