/**
 * Reads tensors from one safetensors file, or from several (shards) with an index. Tensors are read by their
 * position, so no file is ever in memory as a whole.
 *
 * A file is 8 bytes that hold n (little endian), n bytes of JSON {name: {dtype, shape, data_offsets}}, and the bytes
 * of the tensors, which fill the rest without holes. Source: github.com/huggingface/safetensors.
 */
import {constants, readSync} from 'node:fs';
import {open, type FileHandle} from 'node:fs/promises';
import * as path from 'node:path';

import {mustBe, show} from '../../backend/check.js';
import type {FilePart} from '../../backend/types.js';
import {danglingTarget, foreignKind, isThere, otherWeights} from './foreign_file.js';
import {Fields, parseJsonObject} from './json_file.js';

/** Bits per element for every dtype of the format. */
const BITS: Record<string, number> = {
  ...{BOOL: 8, I8: 8, U8: 8, I16: 16, U16: 16, I32: 32, U32: 32, I64: 64, U64: 64},
  ...{F4: 4, F6_E2M3: 6, F6_E3M2: 6, F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8},
  ...{F16: 16, BF16: 16, F32: 32, F64: 64, C64: 64},
};
/** The longest header that the reference implementation accepts. */
const MAX_HEADER_BYTES = 100_000_000;
const CHUNK_BYTES = 2 ** 22;
/** Ends the error of a file that is shorter than it says. */
const CUT_OFF = ': its download may be incomplete';

export interface TensorEntry {
  readonly file: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Position of the first byte in the file. */
  readonly begin: number;
  readonly bytes: number;
}

interface OpenFile {
  handle: FileHandle;
  entries: Map<string, TensorEntry>;
}

/** A model's open safetensors files. The caller must `close` them. */
export class Safetensors {
  private buffer?: Buffer;

  private constructor(
    private readonly handles: Map<string, FileHandle>,
    /** The tensors of all files by name. */
    readonly entries: ReadonlyMap<string, TensorEntry>,
  ) {}

  /**
   * Opens `dir/model.safetensors`, or the shards that `dir/model.safetensors.index.json` lists, and checks every header.
   * @throws Error naming the file, the tensor, what was expected and what came; no file stays open
   */
  static async open(dir: string): Promise<Safetensors> {
    const single = path.join(dir, 'model.safetensors');
    const index = path.join(dir, 'model.safetensors.index.json');
    const isSingle = isThere(single);
    if (!isSingle && !isThere(index))
      throw new Error(
        `${dir}: must hold model.safetensors or model.safetensors.index.json but holds neither${otherWeights(dir)}`,
      );

    const located = isSingle ? undefined : readIndex(index);
    const files = located ? new Set(located.values()) : [single];
    const handles = new Map<string, FileHandle>();
    const entries = new Map<string, TensorEntry>();
    try {
      for (const file of files) {
        const opened = await openFile(file);
        handles.set(file, opened.handle);
        for (const [name, entry] of opened.entries) {
          if (!located || located.get(name) === file) entries.set(name, entry);
        }
      }
      for (const [name, file] of located ?? []) {
        if (!entries.has(name))
          throw new Error(`${index}: '${name}' must be in ${path.basename(file)} but is not`);
      }
    } catch (error) {
      await closeAll(handles);
      throw error;
    }
    return new Safetensors(handles, entries);
  }

  /**
   * The tensor's bytes as in the file (row by row, little endian), in chunks of whole elements. A chunk is valid
   * until the next one is asked for, of this or another tensor. All chunks pass through one buffer, which stays in
   * the processor's cache and is several times faster than new memory for each tensor.
   */
  *chunks(name: string): Generator<Uint8Array> {
    const {file, begin, bytes} = this.entry(name);
    this.buffer ??= Buffer.allocUnsafeSlow(CHUNK_BYTES);
    for (let done = 0; done < bytes; done += CHUNK_BYTES) {
      const chunk = this.buffer.subarray(0, Math.min(CHUNK_BYTES, bytes - done));
      fill(chunk, this.handle(file), file, begin + done);
      yield chunk;
    }
  }

  /** Whether two tensors have one dtype, one shape and the same bytes. */
  equal(first: string, second: string): boolean {
    const [a, b] = [this.entry(first), this.entry(second)];
    if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
    const other = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, b.bytes));
    let done = 0;
    for (const chunk of this.chunks(first)) {
      const same = other.subarray(0, chunk.length);
      fill(same, this.handle(b.file), b.file, b.begin + done);
      if (!same.equals(chunk)) return false;
      done += chunk.length;
    }
    return true;
  }

  /** Where the tensor's bytes are, for native code to read them. Valid until `close`. */
  place(name: string): FilePart {
    const {file, begin, bytes} = this.entry(name);
    return {file, fd: this.handle(file).fd, position: begin, byteLength: bytes};
  }

  private entry(name: string): TensorEntry {
    const entry = this.entries.get(name);
    if (!entry) throw new Error(`[Safetensors] there is no tensor '${name}'`);
    return entry;
  }

  private handle(file: string): FileHandle {
    const handle = this.handles.get(file);
    if (!handle) throw new Error(`[Safetensors] ${file} is closed`);
    return handle;
  }

  async close(): Promise<void> {
    await closeAll(this.handles);
  }
}

async function closeAll(handles: Map<string, FileHandle>): Promise<void> {
  const open = [...handles.values()];
  handles.clear();
  await Promise.all(open.map((handle) => handle.close()));
}

/** The shard of each tensor. Shards must be files of the index's own folder: the index may be hostile. */
function readIndex(index: string): Map<string, string> {
  const map = Fields.read(index).object('weight_map');
  if (!map) throw new Error(`${index}: weight_map must be an object but is missing`);
  return new Map(
    Object.keys(map.values).map((name) => {
      const file = map.text(name);
      if (file !== path.basename(file) || /[\\/]|^\.{0,2}$/.test(file))
        throw map.error(name, "the name of a file in the index's folder");
      return [name, path.join(path.dirname(index), file)];
    }),
  );
}

async function openFile(file: string): Promise<OpenFile> {
  let handle: FileHandle;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK); // else opening a pipe waits for its writer
  } catch (error) {
    const target = danglingTarget(file);
    const reason =
      target === undefined ? (error as Error).message : `it is a link to ${target}, which is not there`;
    throw new Error(`${file}: cannot be opened: ${reason}`, {cause: error});
  }
  try {
    return {handle, entries: await readHeader(handle, file)};
  } catch (error) {
    const kind = await kindOf(handle);
    await handle.close();
    throw kind === undefined
      ? error
      : new Error(`${file}: must be a safetensors file but is ${kind}`, {cause: error});
  }
}

/** What a file is whose header was refused, where that is known. */
async function kindOf(handle: FileHandle): Promise<string | undefined> {
  if (!(await handle.stat()).isFile()) return undefined;
  const {buffer, bytesRead} = await handle.read(Buffer.alloc(1024), 0, 1024, 0);
  // Any bytes may be the length of a header, but only a header follows with a brace.
  return buffer[8] === '{'.charCodeAt(0) ? undefined : foreignKind(buffer.subarray(0, bytesRead));
}

/** Reads and checks a file's header. The tensors must fill the rest of the file, without overlaps or holes. */
async function readHeader(handle: FileHandle, file: string): Promise<Map<string, TensorEntry>> {
  const stat = await handle.stat();
  if (!stat.isFile()) throw new Error(`${file}: must be a file but is none`);
  const {size} = stat;
  if (size < 8)
    throw new Error(`${file}: must begin with the 8 bytes of its header's length but has ${size} bytes`);
  const prefix = readBytes(handle, file, 0, 8);
  const claimed = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  const most = Math.min(MAX_HEADER_BYTES, size - 8);
  if (claimed > most) {
    const cut = claimed <= MAX_HEADER_BYTES ? CUT_OFF : '';
    throw new Error(`${file}: the header must have at most ${most} bytes but claims ${claimed}${cut}`);
  }

  const length = Number(claimed);
  const header = parseJsonObject(`${file}: the header`, readBytes(handle, file, 8, length));
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, value]): [string, TensorEntry] => [name, readEntry(file, name, value, 8 + length, size)])
    .sort(([, a], [, b]) => a.begin - b.begin || a.bytes - b.bytes);

  let end = 8 + length;
  for (const [name, {begin, bytes}] of entries) {
    if (begin !== end) {
      const what = begin < end ? 'overlaps the tensor before it' : 'leaves a hole before it';
      throw new Error(`${file}: '${name}' must begin at byte ${end} but begins at ${begin}: it ${what}`);
    }
    end = begin + bytes;
  }
  if (end !== size) throw new Error(`${file}: must have ${end} bytes, as its header says, but has ${size}`);
  return new Map(entries);
}

function readEntry(file: string, name: string, value: unknown, dataBegin: number, size: number): TensorEntry {
  const fail = (field: string, expected: string, received: unknown): never => {
    throw mustBe(`${file}: '${name}': ${field}`, expected, received, 'missing');
  };
  const {dtype, shape, data_offsets: offsets} = (value ?? {}) as Record<string, unknown>;
  const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0;
  if (typeof dtype !== 'string' || !Object.hasOwn(BITS, dtype))
    return fail('dtype', `one of ${Object.keys(BITS).join(', ')}`, dtype);
  if (!Array.isArray(shape) || !shape.every(isCount)) return fail('shape', 'a list of sizes', shape);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1])
    return fail('data_offsets', '[begin, end]', offsets);
  const [begin, end] = offsets as [number, number];
  if (dataBegin + end > size)
    throw new Error(
      `${file}: '${name}': data_offsets must be within the file's ${size - dataBegin} bytes of data but is ${show(offsets)}${CUT_OFF}`,
    );
  const bytes = (shape.reduce((product: number, n: number) => product * n, 1) * BITS[dtype]) / 8;
  if (end - begin !== bytes)
    return fail('data_offsets', `${bytes} bytes apart for ${dtype} ${show(shape)}`, offsets);
  return {file, dtype, shape, begin: dataBegin + begin, bytes};
}

function readBytes(handle: FileHandle, file: string, begin: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  fill(bytes, handle, file, begin);
  return bytes;
}

/** Fills `target` from position `begin` of the file. It loops because a read may give fewer bytes than asked for. */
function fill(target: Uint8Array, handle: FileHandle, file: string, begin: number): void {
  for (let done = 0; done < target.length;) {
    const count = readSync(handle.fd, target, done, target.length - done, begin + done);
    if (count === 0)
      throw new Error(`${file}: must have ${begin + target.length} bytes but ends at ${begin + done}`);
    done += count;
  }
}
