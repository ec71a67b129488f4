/** Measures the memory, files and threads of a process, and checks that they stay level. */
import * as fs from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {nativeBackend} from '../../backend/current.js';

/** Counts of tensors, buffers and bytes, which must return to their first values when everything is disposed of. */
export function held() {
  const {numTensors, numDataBuffers, numBytes} = tf.memory();
  const {bytesInUse, buffers} = nativeBackend()?.device.memory() ?? {};
  return {numTensors, numDataBuffers, numBytes, bytesInUse, buffers};
}

const count = (folder: string): number => (fs.existsSync(folder) ? fs.readdirSync(folder).length : 0);

export interface Level {
  /** resident bytes of the process after garbage collection */
  resident: number;
  /** bytes that the allocator holds for buffers, in use or cached */
  reserved: number;
  /** open file handles; 0 except on Linux */
  files: number;
  /** threads; 0 except on Linux */
  threads: number;
}

export function level(): Level {
  global.gc!();
  return {
    resident: process.memoryUsage.rss(),
    reserved: nativeBackend()?.device.memory().bytesReserved ?? 0,
    files: count('/proc/self/fd'),
    threads: count('/proc/self/task'),
  };
}

const MEBIBYTE = 2 ** 20;
/**
 * The largest rise of the median of resident memory. The garbage collector and malloc vary by some MiB. With 10,000 rounds a loss of
 * 3 KiB a round, half of the keys and values that a round writes in one layer, exceeds this bound.
 */
const RESIDENT_BOUND = 8 * MEBIBYTE;
/** The largest rise of the median of reserved memory. New sizes of buffers may be requested late. */
const RESERVED_BOUND = 16 * MEBIBYTE;

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

/** Compares the last third of levels with the second. The first third is a warm-up. */
export function expectLevel(levels: Level[]): string {
  const third = Math.floor(levels.length / 3);
  expect(third, 'levels to compare').to.be.at.least(3);
  const rise = (what: keyof Level) =>
    median(levels.slice(-third).map((one) => one[what])) -
    median(levels.slice(-2 * third, -third).map((one) => one[what]));
  const inWords = (bytes: number) => `${(bytes / MEBIBYTE).toFixed(1)} MiB`;
  expect(rise('resident'), 'resident memory').to.be.below(RESIDENT_BOUND);
  expect(rise('reserved'), 'reserved memory').to.be.below(RESERVED_BOUND);
  const [first, last] = [levels[levels.length - 2 * third], levels[levels.length - 1]];
  expect(last.files, 'file handles').to.equal(first.files);
  expect(last.threads, 'threads').to.equal(first.threads);
  return `resident ${inWords(last.resident)}, ${inWords(rise('resident'))} more than a third before; reserved ${inWords(last.reserved)}, ${inWords(rise('reserved'))} more; ${last.files} file handles, ${last.threads} threads`;
}
