/** Compiles the native binding of tfjs-node against a TensorFlow, and tries the result by running an op. */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

import type {Target} from './target.js';

// The package node-api-headers has no type declarations.
// eslint-disable-next-line @typescript-eslint/no-require-imports
const nodeApiHeaders = (require('node-api-headers') as {include_dir: string}).include_dir;

const COMPILERS = ['c++', 'g++', 'clang++'];

/**
 * Compiles the sources in `folder`/binding against `folder`/deps, unless that was done before.
 *
 * It does not use node-gyp, which needs Python and downloads this Node's headers from nodejs.org. The binding includes
 * only the headers of Node-API, which an npm package holds.
 * @throws Error where there is no compiler, or compiling fails; the compiler's output is in `folder`/build.log
 */
export function compileBinding(folder: string, target: Target): void {
  const binding = path.join(folder, target.binding);
  if (fs.existsSync(binding)) return;
  fs.mkdirSync(path.dirname(binding), {recursive: true});
  const sources = fs.readdirSync(path.join(folder, 'binding')).filter((file) => file.endsWith('.cc'));
  const libraries = path.join(folder, 'deps', 'lib');
  const part = `${binding}.part`;
  const fromBinding = path.relative(path.dirname(binding), libraries);
  const [command, ...args] = [
    ...findCompiler(),
    ...['-std=c++17', '-O2', '-fPIC', '-shared', `-DNAPI_VERSION=${target.napi}`],
    ...['-I', nodeApiHeaders, '-I', path.join(folder, 'deps', 'include')],
    ...sources.map((source) => path.join(folder, 'binding', source)),
    ...['-L', libraries, '-ltensorflow', '-ltensorflow_framework', `-Wl,-rpath,$ORIGIN/${fromBinding}`],
    ...['-o', part],
  ];
  const {status, stdout, stderr, error} = spawnSync(command, args, {encoding: 'utf8'});
  if (status !== 0) {
    const log = path.join(folder, 'build.log');
    fs.writeFileSync(log, `$ ${[command, ...args].join(' ')}\n${stdout ?? ''}${stderr ?? ''}`);
    const reason = error?.message ?? /^.*\berror\b.*$/im.exec(stderr)?.[0] ?? `${command} failed`;
    throw new Error(`${target.name}'s binding does not compile: ${reason.trim()}; see ${log}`);
  }
  fs.renameSync(part, binding);
}

function findCompiler(): string[] {
  const candidates = process.env.CXX ? [process.env.CXX.split(' ')] : COMPILERS.map((name) => [name]);
  const found = candidates.find(([command]) => spawnSync(command, ['--version']).status === 0);
  if (found) return found;
  const tried = candidates.map(([command]) => command).join(', ');
  throw new Error(`no C++ compiler found: tried ${tried}. Install g++, then run the same command again`);
}

/** What running an op in tfjs-node showed. */
export interface Trial {
  /** TensorFlow's version. */
  tensorflow: string;
  usesGpu: boolean;
}

/**
 * Loads the package in `folder` in a child process and multiplies two matrices.
 * @param name the package's name in the error message
 * @throws Error with the child's reason where that fails
 */
export function tryPackage(folder: string, name: string): Trial {
  const program = path.join(__dirname, 'trial.js');
  const {status, signal, stdout, stderr} = spawnSync(process.execPath, [program, folder], {
    encoding: 'utf8',
    // Silences TensorFlow's notes on the processor and on missing GPUs, but not its errors.
    env: {TF_CPP_MIN_LOG_LEVEL: '2', ...process.env},
  });
  const answer = /^\{.*\}$/m.exec(stdout)?.[0];
  if (status === 0 && answer) return JSON.parse(answer) as Trial;
  const reason = /^\w*Error: .*/m.exec(stderr)?.[0] ?? stderr.trim().split('\n').at(-1);
  throw new Error(`${name} does not run with it: ${reason ? reason : `ended with ${signal ?? status}`}`);
}
