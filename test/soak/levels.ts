/** What a process holds, and whether it stays level. */
import * as fs from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {nativeBackend} from '../../backend/current.js';

/** What must be back to the last one when everything was disposed of. */
export function held() {
  const {numTensors, numDataBuffers, numBytes} = tf.memory();
  const {bytesInUse, buffers} = nativeBackend()?.device.memory() ?? {};
  return {numTensors, numDataBuffers, numBytes, bytesInUse, buffers};
}

const count = (folder: string): number => (fs.existsSync(folder) ? fs.readdirSync(folder).length : 0);

export interface Level {
  /** Bytes of the process in memory, the garbage collected. */
  resident: number;
  /** Bytes that the allocator holds, for buffers and for later ones. */
  reserved: number;
  /** File handles, and threads, where the system tells (Linux). */
  files: number;
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
 * What medians of resident memory may differ by: the garbage collector and malloc come and go by some MiB. The thirds of 10,000 rounds are
 * 3,333 rounds apart: a loss of 3 KiB a round, half of the keys and values that a round writes in one layer, is more.
 */
const RESIDENT_BOUND = 8 * MEBIBYTE;
/** Sizes that were not asked for before may come late. */
const RESERVED_BOUND = 16 * MEBIBYTE;

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

/** Compares the last third of levels with the third before it; the first is to warm up in. */
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
