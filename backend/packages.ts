/**
 * Loads TF.js backends of other packages. They are optional peer dependencies, so each is loaded only when it is asked
 * for.
 */
import {createRequire} from 'node:module';

import {here} from './home.js';
import {TENSORFLOW} from './tensorflow.js';

interface Source {
  /** Packages that register the backend, in the order in which they are tried. */
  packages: string[];
  /** How to get one of the packages, for an error's end. */
  remedy: string;
}

const SOURCES: Readonly<Record<string, Source>> = {
  [TENSORFLOW]: {
    packages: ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'],
    remedy:
      "'npm install @tensorflow/tfjs-node' installs it; where that fails, 'npm install --ignore-scripts @tensorflow/tfjs-node', then 'npx specattn install-tensorflow'",
  },
  wasm: {
    packages: ['@tensorflow/tfjs-backend-wasm'],
    remedy: "'npm install @tensorflow/tfjs-backend-wasm' installs it",
  },
};

/** The backends that {@link importBackend} can load. */
export const importable = Object.keys(SOURCES);

/**
 * Loads a package that registers the backend `name`, one of {@link importable}. Returns undefined, or the reason why no
 * package could be loaded.
 */
export function importBackend(name: string): string | undefined {
  const source = SOURCES[name];
  const load = createRequire(here);
  const reasons: string[] = [];
  for (const packageName of source.packages) {
    try {
      load.resolve(packageName);
    } catch {
      reasons.push(`${packageName} is not installed`);
      continue;
    }
    try {
      load(packageName);
      return undefined;
    } catch (error) {
      const [message] = (error as Error).message.split('\n'); // tfjs-node's message goes on with advice
      reasons.push(`${packageName} could not be loaded: ${message.trim()}`);
    }
  }
  return `${reasons.join('; ')}. ${source.remedy}`;
}
