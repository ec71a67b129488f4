/** Reads Python wheels. A wheel is a zip archive with a file RECORD that lists the SHA-256 of every other file. */
import {createHash} from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import {pipeline} from 'node:stream/promises';

import * as yauzl from 'yauzl';

import type {Step} from '../terminal.js';

/** Called with the size of every chunk that was read. */
type OnBytes = (bytes: number) => void;

/** An open wheel; `close` closes its file. */
export class Wheel {
  private constructor(
    readonly file: string,
    private readonly zip: yauzl.ZipFile,
    private readonly entries: Map<string, yauzl.Entry>,
    /** SHA-256 of each file as base64url without padding, the form that RECORD has. */
    private readonly record: Map<string, string>,
    /** Name of the folder that holds RECORD, METADATA and WHEEL. */
    private readonly distInfo: string,
  ) {}

  /** @throws Error where the file is no wheel */
  static async open(file: string): Promise<Wheel> {
    const name = path.basename(file);
    let zip: yauzl.ZipFile;
    try {
      zip = await yauzl.openPromise(file, {lazyEntries: true, autoClose: false});
    } catch (error) {
      throw new Error(`${file} cannot be read as a wheel: ${(error as Error).message}`, {cause: error});
    }
    try {
      const entries = new Map<string, yauzl.Entry>();
      for await (const entry of zip.eachEntry()) entries.set(entry.fileName, entry);
      const recordFile = [...entries.keys()].find((file) => /^[^/]+\.dist-info\/RECORD$/.test(file));
      if (!recordFile) throw new Error(`${name} is not a wheel: it holds no *.dist-info/RECORD`);
      const record = new Map<string, string>();
      for (const line of (await readText(zip, entries.get(recordFile)!)).split(/\r?\n/)) {
        const fields = /^"?(.+?)"?,sha256=([\w-]+)=*,\d*$/.exec(line);
        if (fields) record.set(fields[1], fields[2]);
      }
      return new Wheel(file, zip, entries, record, path.dirname(recordFile));
    } catch (error) {
      zip.close();
      throw error;
    }
  }

  close(): void {
    this.zip.close();
  }

  has(file: string): boolean {
    return this.entries.has(file);
  }

  /** The names of all files. */
  files(): string[] {
    return [...this.entries.keys()].filter((file) => !file.endsWith('/'));
  }

  /** All values of a header, such as `Requires-Dist` in METADATA or `Tag` in WHEEL. */
  async headers(file: 'METADATA' | 'WHEEL', header: string): Promise<string[]> {
    const entry = this.entries.get(`${this.distInfo}/${file}`);
    if (!entry) throw new Error(`${path.basename(this.file)} is not a wheel: it holds no ${file}`);
    const [head] = (await readText(this.zip, entry)).split(/\r?\n\r?\n/);
    const prefix = `${header}: `;
    return head
      .split(/\r?\n/)
      .filter((line) => line.startsWith(prefix))
      .map((line) => line.slice(prefix.length));
  }

  /**
   * Unpacks files, checks them against RECORD, and puts each in its place by a rename, so that no incomplete file
   * appears there. Files that are in their place already are skipped.
   * @param places from names in the wheel to paths
   * @throws Error where a file is missing from the wheel or its SHA-256 is wrong
   */
  async unpack(places: Map<string, string>, onProgress: (step: Step) => void = () => {}): Promise<void> {
    const sizeOf = (file: string) => this.entry(file).uncompressedSize;
    const total = [...places.keys()].reduce((sum, file) => sum + sizeOf(file), 0);
    let loaded = 0;
    const onBytes = (bytes: number) => onProgress({what: 'unpacking', loaded: (loaded += bytes), total});
    for (const [file, place] of places) {
      if (fs.existsSync(place)) onBytes(sizeOf(file));
      else await this.unpackOne(file, place, onBytes);
    }
  }

  private entry(file: string): yauzl.Entry {
    const entry = this.entries.get(file);
    if (!entry) throw new Error(`${path.basename(this.file)} holds no ${file}`);
    return entry;
  }

  private async unpackOne(file: string, place: string, onBytes: OnBytes): Promise<void> {
    const entry = this.entry(file);
    const expected = this.record.get(file);
    if (!expected) throw new Error(`${path.basename(this.file)}: its RECORD has no SHA-256 of ${file}`);
    fs.mkdirSync(path.dirname(place), {recursive: true});
    const part = `${place}.part`;
    const hash = createHash('sha256');
    const mode = (entry.externalFileAttributes >>> 16) & 0o111 ? 0o755 : 0o644;
    await pipeline(
      await this.zip.openReadStreamPromise(entry),
      hashing(hash, onBytes),
      fs.createWriteStream(part, {mode}),
    );
    const actual = hash.digest('base64url');
    if (actual !== expected) {
      fs.rmSync(part);
      throw new Error(
        `${path.basename(this.file)} is damaged: ${file} has SHA-256 ${actual}, its RECORD says ${expected}`,
      );
    }
    fs.renameSync(part, place);
  }
}

/** The SHA-256 of a file in hexadecimal digits. */
export async function sha256(file: string, onProgress: (step: Step) => void = () => {}): Promise<string> {
  const total = fs.statSync(file).size;
  let loaded = 0;
  const hash = createHash('sha256');
  const onBytes = (bytes: number) => onProgress({what: 'checking', loaded: (loaded += bytes), total});
  for await (const chunk of fs.createReadStream(file, {highWaterMark: 1 << 20})) {
    hash.update(chunk as Buffer);
    onBytes((chunk as Buffer).length);
  }
  return hash.digest('hex');
}

function hashing(hash: ReturnType<typeof createHash>, onBytes: OnBytes) {
  return async function* (source: AsyncIterable<Buffer>) {
    for await (const chunk of source) {
      hash.update(chunk);
      onBytes(chunk.length);
      yield chunk;
    }
  };
}

async function readText(zip: yauzl.ZipFile, entry: yauzl.Entry): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
