/** Medians, and what machine this is: every figure is printed with both. */
import {cpus, totalmem} from 'node:os';

import {describeDevices} from '../src/index.js';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Milliseconds of one call: the median of `runs` averages over `calls` each, after a warm-up. */
export function time(call: () => void, calls: number, runs = 9): number {
  for (let i = 0; i < calls; i++) call();
  const samples = Array.from({length: runs}, () => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) call();
    return (performance.now() - start) / calls;
  });
  return median(samples);
}

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

export function round(value: number, digits = 3): number {
  return Number(value.toPrecision(digits));
}
