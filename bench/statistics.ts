/** Medians, timing by the host's clock, and a description of the machine. All benches use them. */
import {cpus, totalmem} from 'node:os';

import {describeDevices} from '../src/index.js';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Milliseconds of one call: the median over `runs` of the average over `calls`. As many calls warm up and are not counted. */
export function time(call: () => void, calls: number, runs = 9): number {
  for (let i = 0; i < calls; i++) call();
  const samples = Array.from({length: runs}, () => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) call();
    return (performance.now() - start) / calls;
  });
  return median(samples);
}

/** The machine that the figures hold for. */
export function machine() {
  const {device, devices} = describeDevices();
  return {
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 2 ** 30),
    device: devices.find(({name}) => name === device)?.description ?? 'tfjs-backend-cpu, composed ops',
  };
}

/** Rounds to significant digits. */
export function round(value: number, digits = 3): number {
  return Number(value.toPrecision(digits));
}
