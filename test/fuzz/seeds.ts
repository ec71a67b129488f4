/** Writes the launches of `launches.ts` as bytes for cuda/fuzz/launch_descriptors.cc. Coverage-guided fuzzing begins with them. */
import * as fs from 'node:fs';
import * as path from 'node:path';

import {packageRoot} from '../../backend/addon.js';
import type {Storage} from '../../backend/types.js';
import {LAUNCHES, type Launch, type LaunchTensor} from './launches.js';

const DTYPES: readonly Storage[] = ['float32', 'bfloat16', 'float16', 'int32', 'bool'];
/** A byte of at least this value means another tensor's buffer, or one of the numbers `kOdd` of launch_descriptors.cc. */
const ODD = 200;
/** The numbers of `kOdd` that launches have, with their indices. */
const ODD_NUMBERS: [number, number][] = [
  [0.5, 4],
  [-1, 5],
  [1e-5, 14],
  [0.9, 22],
  [0.1, 23],
];

/** The byte of a number, or of the nearest number that has a byte. */
function byteOf(number: number): number {
  if (Number.isInteger(number) && number >= 0 && number < ODD) return number;
  const distance = ([odd]: [number, number]) => Math.abs(odd - number);
  return ODD + ODD_NUMBERS.reduce((best, odd) => (distance(odd) < distance(best) ? odd : best))[1];
}

function bytesOf({kernel, inputs, outputs, attrs}: Launch, kernels: string[]): Uint8Array {
  const bytes = [kernels.indexOf(kernel), inputs.length, outputs.length, attrs.length];
  const add = ({storage, shape, donated}: LaunchTensor, i: number) => {
    let buffer = 0;
    if (donated !== undefined) for (buffer = ODD; buffer % i !== donated;) buffer++;
    bytes.push(buffer, DTYPES.indexOf(storage), shape.length, ...shape.map(byteOf));
  };
  [...inputs, ...outputs].forEach(add);
  return Uint8Array.from([...bytes, ...attrs.map(byteOf), 0, 0, 0, 63, 0, 0, 128, 63]);
}

/** Writes a file for each launch. */
export function writeSeeds(folder: string): void {
  const list = fs.readFileSync(path.join(packageRoot, 'cuda', 'kernels.def'), 'utf8');
  const kernels = [...list.matchAll(/^KERNEL\((\w+),/gm)].map(([, name]) => name);
  fs.mkdirSync(folder, {recursive: true});
  LAUNCHES.forEach((launch, i) =>
    fs.writeFileSync(path.join(folder, `${launch.kernel}_${i}`), bytesOf(launch, kernels)),
  );
}
