/**
 * The CUDA libraries that TensorFlow opens when it finds a GPU. Its wheel does not contain them; its extra `and-cuda`
 * names the wheels that do. TensorFlow looks for them in `../nvidia/NAME/lib`, relative to its own libraries, and then
 * where the dynamic linker looks.
 */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

import {withProgress} from '../terminal.js';
import {fetchWheel} from './pip.js';
import {Wheel} from './wheel.js';

/** The libraries that TensorFlow needs to use a GPU, by the NAME of the wheel (`nvidia-NAME-cu12`) that holds them. */
const LIBRARIES: Record<string, string[]> = {
  'cuda-runtime': ['cudart'],
  cublas: ['cublasLt', 'cublas'],
  nvjitlink: ['nvJitLink'],
  cusparse: ['cusparse'],
  cusolver: ['cusolver'],
  cufft: ['cufft'],
  cudnn: ['cudnn'],
};

/** The requirements in the extra `and-cuda` of a TensorFlow wheel, such as `nvidia-cublas-cu12<13.0,>=12.5.3.2`. */
export async function cudaRequirements(tensorflow: Wheel): Promise<string[]> {
  return (await tensorflow.headers('METADATA', 'Requires-Dist'))
    .map((line) => /^(nvidia-\S+?)\s*;.*\bextra\s*==\s*["']and-cuda["']/.exec(line)?.[1])
    .filter((requirement) => requirement !== undefined);
}

/**
 * The file names of the libraries in these wheels, such as `libcudnn.so.9`. The lower bound of a requirement gives the
 * major version.
 */
export function librariesOf(requirements: string[]): string[] {
  return requirements.flatMap((requirement) => {
    const [, name, major] = /^nvidia-([a-z-]+?)(?:-cu\d+)?(?=[<>=!~]).*?[>=~]=(\d+)/.exec(requirement) ?? [];
    return (LIBRARIES[name] ?? []).map((library) => `lib${library}.so.${major}`);
  });
}

/** Fetches the wheels of `requirements` and unpacks them under `deps`, where TensorFlow's libraries look first. */
export async function unpackCuda(requirements: string[], deps: string): Promise<void> {
  for (const requirement of requirements) {
    const wheel = await Wheel.open(await fetchWheel(requirement));
    try {
      const files = wheel.files().filter((file) => /^nvidia\/(?!.*\/include\/)/.test(file));
      const places = new Map(files.map((file) => [file, path.join(deps, file)]));
      await withProgress((onProgress) => wheel.unpack(places, onProgress));
    } finally {
      wheel.close();
    }
  }
}

/** Which of `libraries` and of the driver's `libcuda.so.1` cannot be opened, and why. */
export function missingLibraries(libraries: string[], deps: string): {name: string; reason: string}[] {
  const nvidia = path.join(deps, 'nvidia');
  const folders = fs.existsSync(nvidia) ? fs.readdirSync(nvidia) : [];
  const places = ['libcuda.so.1', ...libraries].map((name) => ({
    name,
    file:
      folders.map((each) => path.join(nvidia, each, 'lib', name)).find((file) => fs.existsSync(file)) ?? name,
  }));
  // process.dlopen opens a library before it finds that it is no addon. That runs the library's code, hence a child process.
  const program = `
    for (const {name, file} of JSON.parse(process.argv[1])) {
      let reason = '';
      try { process.dlopen({exports: {}}, file); } catch (error) { reason = error.message; }
      if (!reason.includes('did not self-register')) console.log(JSON.stringify({name, reason}));
    }`;
  const {stdout} = spawnSync(process.execPath, ['-e', program, JSON.stringify(places)], {encoding: 'utf8'});
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as {name: string; reason: string});
}
