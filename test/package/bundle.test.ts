/** Programs that a bundler has made one file of: they find the package's files, load no Vega, and say what they lack. */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {expect} from 'chai';
import {build, type Format} from 'esbuild';

import {packageRoot} from '../../backend/home.js';

const PROGRAM = `
  const lm = await load();
  const {tokens} = await lm.generate('It was', {maxNewTokens: 3, temperature: 0});
  lm.dispose();
  const svg = process.argv[2] === 'draw' ? await heatmap([[1, 2]], [0]) : '';
  console.log(JSON.stringify([tokens.length, svg.slice(0, 4)]));`;
const SOURCES = {
  cjs: `const {load, heatmap} = require('specattn');\n(async () => {${PROGRAM}})();`,
  esm: `import {load, heatmap} from 'specattn';${PROGRAM}`,
};

function run(file: string, args: string[], env: NodeJS.ProcessEnv) {
  const given = {
    ...process.env,
    SPECATTN_HOME: undefined,
    SPECATTN_ADDON: undefined,
    SPECATTN_DEVICE: undefined,
  };
  const {stdout, stderr} = spawnSync(process.execPath, [file, ...args], {
    cwd: path.dirname(file),
    encoding: 'utf8',
    env: {...given, ...env},
  });
  return {stdout, stderr};
}

for (const format of ['cjs', 'esm'] as const) {
  describe(`a program bundled by esbuild as ${format}`, function () {
    this.timeout(300_000);
    let sources: string;
    let target: string;

    before(() => {
      sources = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-sources-'));
      target = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-bundle-'));
      fs.mkdirSync(path.join(sources, 'node_modules'));
      fs.symlinkSync(packageRoot, path.join(sources, 'node_modules', 'specattn'), 'junction');
      fs.writeFileSync(path.join(sources, 'program.js'), SOURCES[format]);
    });
    after(() => {
      for (const folder of [sources, target]) fs.rmSync(folder, {recursive: true, force: true});
    });

    async function bundle(folder: string, external: string[] = []): Promise<string> {
      const outfile = path.join(folder, format === 'cjs' ? 'bundle.cjs' : 'bundle.mjs');
      const entryPoints = [path.join(sources, 'program.js')];
      const common = {bundle: true, platform: 'node', logLevel: 'silent', metafile: true} as const;
      const {metafile} = await build({...common, entryPoints, format: format as Format, outfile, external});
      expect(
        Object.keys(metafile.inputs).filter((input) => /vega/.test(input) && !/report\/vega/.test(input)),
      ).to.deep.equal([]);
      return outfile;
    }

    it('finds the package by SPECATTN_HOME, generates and draws', async () => {
      const file = await bundle(target);
      const {stdout, stderr} = run(file, ['draw'], {SPECATTN_HOME: packageRoot});
      expect(stderr).not.to.match(/does not exist|Error/);
      expect(JSON.parse(stdout)).to.deep.equal([3, '<svg']);
    });

    it('says what to do where it does not find the package', async () => {
      const file = await bundle(target);
      for (const [home, remedy] of [
        [undefined, 'set SPECATTN_HOME to the folder of the package specattn, or leave the package out'],
        ['/nowhere', "SPECATTN_HOME must be the folder of the package specattn but is '/nowhere'"],
      ]) {
        const {stdout, stderr} = run(file, [], {SPECATTN_HOME: home});
        expect(stdout).to.equal('');
        expect(stderr.match(/^specattn: running on .*$/m)?.[0]).to.include(remedy);
        expect(stderr.match(/^Error: \[load\] verifier must be .*$/m)?.[0]).to.include(remedy);
        expect(stderr).not.to.match(/npm rebuild|native addon was not built/);
      }
    });

    it('finds a package that it could import', async () => {
      const file = await bundle(sources);
      expect(JSON.parse(run(file, ['draw'], {}).stdout)).to.deep.equal([3, '<svg']);
    });

    it('runs with the package left out', async () => {
      const file = await bundle(sources, ['specattn']);
      expect(fs.statSync(file).size).to.be.below(10_000);
      expect(JSON.parse(run(file, ['draw'], {}).stdout)).to.deep.equal([3, '<svg']);
    });
  });
}

describe('what importing the package loads', function () {
  this.timeout(300_000);

  /** The files of Vega that a program has loaded, with `require` or `import`. */
  function loaded(program: string): string[] {
    const hooks = `export async function resolve(name, context, next) {
      const found = await next(name, context);
      if (/node_modules.vega/.test(found.url)) (await import('node:fs')).writeSync(1, found.url + '\\n');
      return found;
    }`;
    const text = `require('node:module').register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hooks)}));
      const {heatmap} = require(${JSON.stringify(packageRoot)});
      (async () => {
        ${program}
        for (const file of Object.keys(require.cache)) if (/node_modules.vega/.test(file)) console.log(file);
      })();`;
    const {stdout, status, stderr} = spawnSync(process.execPath, ['-e', text], {encoding: 'utf8'});
    expect(status, stderr).to.equal(0);
    return stdout.split('\n').filter((line) => line !== '');
  }

  it('is not Vega', () => {
    expect(loaded('')).to.deep.equal([]);
  });

  it('is Vega once a picture is drawn', () => {
    expect(loaded('await heatmap([[1, 2]], [0]);').join()).to.match(/vega-canvas/);
  });
});
