/** Watches a backend's kernels: which run natively, which fall back, and which accept calls that TensorFlow.js refuses. */
import {
  getKernel,
  getKernelsForBackend,
  registerKernel,
  unregisterKernel,
  type KernelConfig,
  type KernelFunc,
} from '@tensorflow/tfjs-core';

import {BACKEND, type SpecAttnBackend} from '../../backend/index.js';
import {kernelConfigs} from '../../backend/kernels/index.js';
import type {KernelArgs, NativeKernelConfig} from '../../backend/kernels/kernel.js';
import type {TakenCall} from './verdict.js';

export interface Calls {
  native: number;
  fallback: number;
}

export class KernelWatch {
  /** calls of each standard kernel, also of those that were never called */
  readonly calls = new Map<string, Calls>();
  /** declared calls that kernels accepted since the last {@link reset} */
  taken: TakenCall[] = [];
  private running = '';
  private fellBack = false;

  /** Wraps the backend's registered kernels, and those of tfjs-backend-cpu, whose calls show which kernels fall back. */
  constructor() {
    for (const config of getKernelsForBackend('cpu')) {
      const {kernelName, kernelFunc} = config;
      replace(config, (args) => {
        this.fellBack ||= kernelName === this.running;
        return kernelFunc(args);
      });
    }
    const standard = [...kernelConfigs, ...getKernelsForBackend('cpu')].map(({kernelName}) => kernelName);
    for (const kernelName of new Set(standard)) {
      const config = getKernel(kernelName, BACKEND);
      this.calls.set(kernelName, {native: 0, fallback: 0});
      replace(config, (args) => this.run(config, args));
    }
  }

  reset(): void {
    this.taken = [];
  }

  private run({kernelName, kernelFunc, missingError}: NativeKernelConfig, args: Parameters<KernelFunc>[0]) {
    const backend = args.backend as SpecAttnBackend;
    const applies = missingError?.applies(
      args as unknown as KernelArgs<typeof args.inputs, object>,
      (x) => backend.readSync(x.dataId) as ArrayLike<number>,
    );
    [this.running, this.fellBack] = [kernelName, false];
    const result = kernelFunc(args);
    this.calls.get(kernelName)![this.fellBack ? 'fallback' : 'native']++;
    if (applies) this.taken.push({kernelName, of: missingError!.of});
    return result;
  }
}

function replace(config: KernelConfig, kernelFunc: KernelFunc): void {
  unregisterKernel(config.kernelName, config.backendName);
  registerKernel({...config, kernelFunc});
}
