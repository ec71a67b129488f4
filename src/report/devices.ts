/** Collects the measurements of a CPU and of a GPU for figures that show both. */
import type {Missing} from './figure.js';
import type {CpuBench, GpuBench} from './read.js';

export interface Measurements<T> {
  device: 'CPU' | 'GPU';
  machine: string;
  /** At least one measurement. */
  measured: T[];
}

/**
 * Returns the devices that have measurements of a kernel, and what is missing for the others.
 * @param title the figure's title
 */
export function byDevice<T>(
  {title, kernel}: {title: string; kernel: string},
  cpu: {bench: CpuBench | undefined; read: (bench: CpuBench) => T[]},
  gpu: {bench: GpuBench | undefined; read: (bench: GpuBench) => T[]},
): {found: Measurements<T>[]; missing: Missing[]} {
  const found: Measurements<T>[] = [];
  const missing: Missing[] = [];
  const add = (
    device: 'CPU' | 'GPU',
    {file, script}: {file: string; script: string},
    machine: string | undefined,
    measured: T[],
  ) => {
    if (machine !== undefined && measured.length > 0) {
      found.push({device, machine, measured});
      return;
    }
    const reason = machine === undefined ? `there is no ${file}` : `${file} has no times of ${kernel}`;
    const command = `npm run --silent ${script} > DIR/${file} # in a clone`;
    missing.push({figure: `${title}, on a ${device}`, reason, command});
  };
  add('CPU', {file: 'bench.json', script: 'bench'}, cpu.bench?.machine, cpu.bench ? cpu.read(cpu.bench) : []);
  add(
    'GPU',
    {file: 'bench-gpu.json', script: 'bench:gpu'},
    gpu.bench?.machine,
    gpu.bench ? gpu.read(gpu.bench) : [],
  );
  return {found, missing};
}
