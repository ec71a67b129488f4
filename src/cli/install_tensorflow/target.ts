/**
 * Finds the installed tfjs-node or tfjs-node-gpu package and checks that this machine can run it on the TensorFlow of a
 * Python wheel.
 */
import {existsSync, readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import * as path from 'node:path';
import * as util from 'node:util';

/** An installed `@tensorflow/tfjs-node` or `@tensorflow/tfjs-node-gpu`. */
export interface Target {
  name: string;
  version: string;
  /** The package's folder. */
  root: string;
  /** The version of Node-API that the binding is built for. */
  napi: number;
  /** Where the package looks for its binding, relative to `root`, such as `lib/napi-v8/tfjs_binding.node`. */
  binding: string;
}

interface Manifest {
  version: string;
  binary: {module_name: string; module_path: string; napi_versions: number[]};
}

/**
 * Finds the package `name` as a program in `folder` would.
 * @throws Error where it is not installed
 */
export function findTarget(name: string, folder: string): Target {
  let manifestFile: string;
  try {
    manifestFile = createRequire(path.join(folder, 'index.js')).resolve(`${name}/package.json`);
  } catch {
    throw new Error(
      `${name} is not installed in ${folder}: first \`npm install --ignore-scripts ${name}\`, ` +
        'which leaves out the download that its own install script begins with',
    );
  }
  const {version, binary} = JSON.parse(readFileSync(manifestFile, 'utf8')) as Manifest;
  const napi = Math.max(...binary.napi_versions.filter((each) => each <= Number(process.versions.napi)));
  const folderOfBinding = binary.module_path.replace('{napi_build_version}', String(napi));
  return {
    name,
    version,
    root: path.dirname(manifestFile),
    napi,
    binding: path.join(folderOfBinding, `${binary.module_name}.node`),
  };
}

/** @throws Error where the result could not run on this machine or this Node */
export function checkMachine(target: Target): void {
  const {platform, arch} = process;
  if (platform !== 'linux' || !['x64', 'arm64'].includes(arch)) {
    throw new Error(
      `install-tensorflow knows Linux on x64 and arm64, this is ${platform} on ${arch}: ` +
        `use ${target.name}'s own installer, \`npm rebuild ${target.name}\``,
    );
  }
  if (!glibc()) {
    throw new Error(
      "TensorFlow's wheels are made for Linux with glibc, which this system (Alpine?) does not have",
    );
  }
  const user = path.join(target.root, 'dist', 'nodejs_kernel_backend.js');
  const wantsOldUtil = existsSync(user) && readFileSync(user, 'utf8').includes('isNullOrUndefined');
  if (wantsOldUtil && !('isNullOrUndefined' in util)) {
    throw new Error(
      `${target.name} ${target.version} does not run on Node ${process.versions.node}: ` +
        'it calls util.isNullOrUndefined, which Node 23 removed. Use Node 22 or 20',
    );
  }
}

/** The version of glibc, such as [2, 35]; undefined where the C library is another one. */
function glibc(): [number, number] | undefined {
  const {header} = process.report.getReport() as unknown as {header: {glibcVersionRuntime?: string}};
  const version = /^(\d+)\.(\d+)/.exec(header.glibcVersionRuntime ?? '');
  return version ? [Number(version[1]), Number(version[2])] : undefined;
}

/** The name of this processor's architecture in wheels. */
export function machine(): string {
  return process.arch === 'arm64' ? 'aarch64' : 'x86_64';
}

/** The platform tags of wheels that run here, such as `manylinux_2_27_x86_64`, the newest first. */
export function platformTags(): string[] {
  const [, minor] = glibc() ?? [2, 17];
  const versions = Array.from({length: Math.max(1, minor - 16)}, (_, older) => minor - older);
  return [...versions.map((version) => `manylinux_2_${version}_${machine()}`), `manylinux2014_${machine()}`];
}
