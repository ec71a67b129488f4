/** `npm run test:conformance` runs TensorFlow.js's own suite on the backend `specattn` or another. See docs/trust.md. */
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs-core';

import {BACKEND, describeDevices} from '../../backend/index.js';
import {kernelConfigs} from '../../backend/kernels/index.js';
import {importable, importBackend} from '../../backend/packages.js';
import {bundle, versionOf} from './bundle.js';
import {KernelWatch} from './kernels.js';
import {runSpecs, type Outcome} from './run.js';

const others = ['cpu', ...importable];

const USAGE = `Options:
  --backend NAME   another backend: ${others.join(', ')}
  --filter TEXT    only specs whose full name contains it
  --kernels        list the standard kernels, native or not, with their calls
  --bundle         only make the bundle of specs, for a machine without esbuild`;

async function main(): Promise<void> {
  const {values} = parseArgs({
    options: {
      backend: {type: 'string', default: BACKEND},
      filter: {type: 'string'},
      kernels: {type: 'boolean'},
      bundle: {type: 'boolean'},
      help: {type: 'boolean'},
    },
  });
  if (values.help) return console.log(USAGE);
  await bundle();
  if (values.bundle) return;

  const {backend} = values;
  const native = backend === BACKEND;
  if (!native && !others.includes(backend))
    throw new Error(
      `[conformance] the backend must be one of ${[BACKEND, ...others].join(', ')} but is ${backend}`,
    );
  const reason = native ? describeDevices().reason : backend === 'cpu' ? undefined : importBackend(backend);
  if (reason !== undefined) throw new Error(`[conformance] the backend ${backend} is not there: ${reason}`);
  tf.env().set('IS_TEST', true); // silences the warnings that specs provoke
  const watch = native ? new KernelWatch() : undefined;
  const outcome = await runSpecs({
    backend,
    filter: values.filter,
    before: () => watch?.reset(),
    taken: () => watch?.taken ?? [],
  });

  if (watch) reportKernels(watch, values.kernels);
  reportDeclared(outcome, native && values.filter === undefined);
  outcome.failures.forEach((failure) => console.log(`\nFAILED ${failure}`));
  const {passed, failed, declared, stale, skipped} = outcome.counts;
  const {device, devices} = describeDevices();
  const on = native ? `${backend}, ${devices.find(({name}) => name === device)?.description}` : backend;
  console.log(`\ntfjs-core ${versionOf('@tensorflow/tfjs-core')}'s own specs on ${on}:`);
  console.log(
    `${passed} passed, ${failed + stale} failed${declared + skipped ? `, ${declared + skipped} skipped` : ''}`,
  );
  if (outcome.failures.length > 0 || passed === 0) process.exitCode = 1;
}

function reportKernels({calls}: KernelWatch, list = false): void {
  const names = [...calls.keys()].sort();
  const native = new Set(kernelConfigs.map(({kernelName}) => kernelName));
  const table = (title: string, some: string[]) => {
    console.log(`\n${some.length} ${title}`);
    if (list)
      for (const name of some) {
        const {native, fallback} = calls.get(name)!;
        console.log(`  ${name.padEnd(40)} ${native} native, ${fallback} by the fallback`);
      }
  };
  table(
    'standard kernels are native',
    names.filter((name) => native.has(name)),
  );
  table(
    'run on tfjs-backend-cpu',
    names.filter((name) => !native.has(name)),
  );
}

/** Prints the declared missing errors that excused a spec. In a complete run a declaration that excused none is a failure. */
function reportDeclared({counts, excused, failures}: Outcome, complete: boolean): void {
  for (const {kernelName, missingError} of kernelConfigs) {
    if (!missingError) continue;
    const used = excused.some((call) => call.kernelName === kernelName);
    if (used) console.log(`\ndeclared: ${kernelName} takes ${missingError.of}; ${missingError.reason}`);
    else if (complete)
      failures.push(`${kernelName} declares that it takes ${missingError.of}, which no spec misses`);
  }
  if (counts.declared > 0) console.log(`specs that miss a declared error: ${counts.declared}`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
