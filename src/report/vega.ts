/**
 * Imports Vega and Vega-Lite when a picture is drawn. Their names are no literals of `import()`, since a bundler would
 * put them into a program that draws nothing, and Vega has an `await` at its top level, which a CommonJS bundle cannot hold.
 */
import {createRequire} from 'node:module';
import * as path from 'node:path';
import {pathToFileURL} from 'node:url';

import {homeRemedy, packageRoot} from '../../backend/home.js';

export function importVega(): Promise<typeof import('vega')> {
  return importByName('vega');
}

export function importVegaLite(): Promise<typeof import('vega-lite')> {
  return importByName('vega-lite');
}

/**
 * Imports a package that is installed beside this one.
 * @throws Error where there is none, with what to do about it
 */
async function importByName<T>(name: string): Promise<T> {
  let file: string;
  try {
    file = createRequire(path.join(packageRoot, 'package.json')).resolve(name);
  } catch (error) {
    const reason = homeRemedy ?? (error as Error).message;
    throw new Error(`[report] the package ${name} must be installed: ${reason}`, {cause: error});
  }
  return (await import(pathToFileURL(file).href)) as T;
}
