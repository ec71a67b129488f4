/** The command `specattn install-tensorflow`: runs tfjs-node on the TensorFlow of an official Python wheel. */
import {Command, Option} from 'commander';

import {say} from '../terminal.js';
import {sha256 as sha256Digits} from '../values.js';
import {librariesOf, missingLibraries} from './cuda.js';
import {type Installed, installTensorFlow, undoInstall} from './install.js';
import {checkMachine, findTarget, machine} from './target.js';

/** The newest TensorFlow version that tfjs-node is known to work with. */
const VERSION = '2.21.0';

interface Options {
  gpu: boolean;
  from?: string;
  version: string;
  sha256?: string;
  withCuda: boolean;
  undo: boolean;
}

export function installTensorFlowCommand(): Command {
  return new Command('install-tensorflow')
    .summary('put the TensorFlow of a Python wheel under @tensorflow/tfjs-node')
    .description(
      'Puts the libtensorflow of an official Python wheel under the @tensorflow/tfjs-node that is installed in this folder, ' +
        'compiles its binding, and runs an op. Where that fails it says why and changes nothing. After a run that was stopped, the same command continues.',
    )
    .option('--gpu', 'install a TensorFlow with CUDA under @tensorflow/tfjs-node-gpu', false)
    .addOption(new Option('--version <version>', "TensorFlow's version, fetched with pip").default(VERSION))
    .addOption(new Option('--from <wheel>', 'path of a wheel, instead of fetching one').conflicts('version'))
    .option('--sha256 <digits>', 'what the SHA-256 of the wheel must be', sha256Digits)
    .option(
      '--with-cuda',
      "also install CUDA's libraries, from the wheels that TensorFlow's wheel names (with --gpu)",
      false,
    )
    .addOption(
      new Option('--undo', 'put back what was there before')
        .default(false)
        .conflicts(['version', 'from', 'sha256', 'withCuda']),
    )
    .action(async (options: Options, command: Command) => {
      const {gpu, undo} = options;
      if (options.withCuda && !gpu) command.error("error: option '--with-cuda' wants '--gpu'");
      const target = findTarget(gpu ? '@tensorflow/tfjs-node-gpu' : '@tensorflow/tfjs-node', process.cwd());
      if (undo) {
        const undone = undoInstall(target);
        say(
          `specattn: ${target.root} ${undone ? 'is as it was before' : 'has nothing of install-tensorflow'}`,
        );
        return;
      }
      checkMachine(target);
      if (gpu && machine() !== 'x86_64')
        throw new Error(`TensorFlow's wheels for Linux on ${process.arch} have no CUDA: leave out --gpu`);
      const {from: file, version, sha256, withCuda} = options;
      const requirement = file ? undefined : `${distribution(gpu)}==${version}`;
      const installed = await installTensorFlow(target, {requirement, file, sha256, gpu, withCuda});
      say(
        `specattn: ${target.name} ${target.version} runs on TensorFlow ${installed.tensorflow} (${target.root})`,
      );
      if (gpu) sayWhatGpu(installed);
    });
}

/**
 * The Python distribution to fetch. Without CUDA the smaller `tensorflow-cpu` is enough; arm64 has only `tensorflow`,
 * without CUDA.
 */
function distribution(gpu: boolean): string {
  return gpu || machine() === 'aarch64' ? 'tensorflow' : 'tensorflow-cpu';
}

/** Tells whether ops run on a GPU and, if they do not, which libraries are missing. */
function sayWhatGpu({usesGpu, cuda, deps}: Installed): void {
  if (usesGpu) {
    say('specattn: ops run on the GPU');
    return;
  }
  say('specattn: ops run on the CPU, for TensorFlow found no GPU that it can use.');
  const missing = missingLibraries(librariesOf(cuda), deps);
  for (const {reason} of missing) say(`- ${reason}`);
  if (!missing.length)
    say("Every library was found: TensorFlow's own log says more, with TF_CPP_MIN_LOG_LEVEL=0.");
  if (missing.some(({name}) => name === 'libcuda.so.1'))
    say("libcuda.so.1 comes with NVIDIA's driver, which this machine does not have, or hides.");
  if (missing.some(({name}) => name !== 'libcuda.so.1')) {
    say('Possible solutions:');
    say('- the same command with --with-cuda, which fetches these libraries with pip (some GB)');
    say('- install CUDA and cuDNN in these versions, where the dynamic linker finds them (LD_LIBRARY_PATH)');
  }
}
