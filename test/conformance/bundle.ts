/** Bundles tfjs-core's own specs into one file, which runs without the bundler and without their sources. */
import {closeSync, existsSync, openSync, readFileSync, readSync} from 'node:fs';
import {createRequire} from 'node:module';
import * as path from 'node:path';

import {packageRoot} from '../../backend/addon.js';

const load = createRequire(__filename);

export const bundleFile = path.join(packageRoot, 'build', 'conformance', 'tests.js');

/**
 * The specs need gradients and chained ops, which `@tensorflow/tfjs` adds to tfjs-core. The backend must be set before the specs are
 * declared.
 */
const ENTRY = `
import '@tensorflow/tfjs-core/dist/index';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops';
import {setTestEnvs} from '@tensorflow/tfjs-core/dist/jasmine_util';
export function declare(backendName) {
  setTestEnvs([{name: backendName, backendName, isDataSync: true}]);
  require('@tensorflow/tfjs-core/dist/tests');
}`;

export interface Bundle {
  /** Declares all specs for a backend, with the global functions of jasmine. */
  declare(backendName: string): void;
}

/** The version of an installed package. */
export function versionOf(name: string): string {
  const manifest = path.join(packageRoot, 'node_modules', name, 'package.json');
  return (JSON.parse(readFileSync(manifest, 'utf8')) as {version: string}).version;
}

/**
 * Writes {@link bundleFile} if it is missing or was made of other versions of the packages. Without esbuild an existing file is used as it
 * is.
 */
export async function bundle(): Promise<void> {
  try {
    load.resolve('esbuild');
  } catch {
    if (existsSync(bundleFile)) return;
    throw new Error(`[conformance] ${bundleFile} must be there, or esbuild to make it: 'npm install'`);
  }
  const packages = ['@tensorflow/tfjs-core', 'jasmine-core', 'esbuild'];
  const stamp = `// ${JSON.stringify([...packages.map((name) => `${name} ${versionOf(name)}`), ENTRY])}`;
  if (existsSync(bundleFile) && firstBytes(bundleFile, stamp.length) === stamp) return;
  const {build} = (await import('esbuild')) as typeof import('esbuild');
  await build({
    stdin: {contents: ENTRY, resolveDir: packageRoot},
    outfile: bundleFile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    mainFields: ['module', 'main'],
    ignoreAnnotations: true, // tfjs-core declares its specs free of side effects, so esbuild would drop them
    // jasmine-core does not export this file, which tfjs-core imports, and since version 7 does not have it at this path.
    alias: {
      'jasmine-core/lib/jasmine-core/jasmine.js': path.join(
        path.dirname(load.resolve('jasmine-core')),
        'jasmine-core',
        'jasmine.js',
      ),
    },
    banner: {js: stamp},
    logLevel: 'error',
  });
}

export function loadBundle(): Bundle {
  return load(bundleFile) as Bundle;
}

function firstBytes(file: string, count: number): string {
  const bytes = Buffer.alloc(count);
  const fd = openSync(file, 'r');
  try {
    return bytes.toString('utf8', 0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}
