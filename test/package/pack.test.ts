import {execFileSync, spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {describeWith} from './tools.js';

const manifest = JSON.parse(fs.readFileSync(path.join(packageRoot, 'package.json'), 'utf8')) as {
  name: string;
  version: string;
  dependencies: Record<string, string>;
};

const NPM = process.platform === 'win32' ? 'npm.cmd' : 'npm';

describeWith([NPM, 'tar'], 'the published package', function () {
  this.timeout(300_000);
  let folder: string;
  let files: string[];

  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-pack-'));
    // Scripts are off, because they would rebuild dist/, in which this test runs.
    const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
    const printed = execFileSync(NPM, pack, {
      cwd: packageRoot,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const answer = JSON.parse(printed);
    // npm 11 prints a list, newer versions print an object by package name.
    const [{filename, files: listed}] = Array.isArray(answer) ? answer : Object.values<any>(answer);
    files = listed.map((file: {path: string}) => file.path);
    const installed = path.join(folder, 'node_modules', manifest.name);
    fs.mkdirSync(installed, {recursive: true});
    execFileSync('tar', ['-xzf', path.join(folder, filename), '-C', installed, '--strip-components=1']);
    for (const name of Object.keys(manifest.dependencies)) {
      const link = path.join(folder, 'node_modules', name);
      fs.mkdirSync(path.dirname(link), {recursive: true});
      fs.symlinkSync(path.join(packageRoot, 'node_modules', name), link, 'junction');
    }
  });

  after(() => fs.rmSync(folder, {recursive: true, force: true}));

  it('has everything that a user needs', () => {
    expect(files).to.include.members([
      'package.json',
      'LICENSE',
      'README.md',
      'CMakeLists.txt',
      'tools/build-native.js',
      'bin/specattn.js',
      'cuda/kernels.def',
      'dist/src/index.js',
      'dist/src/index.d.ts',
      'dist/src/cli/index.js',
      'src/types/dom.d.ts',
      'models/pretrained/draft/config.json',
      'models/pretrained/draft/model.safetensors',
      'models/pretrained/verifier/config.json',
      'models/pretrained/verifier/model.safetensors',
      'models/pretrained/verifier/tokenizer.json',
    ]);
    for (const house of ['dist/ops/', 'dist/models/', 'cuda/kernels/']) {
      expect(files.some((file) => file.startsWith(house))).to.equal(true, house);
    }
  });

  it('has nothing else', () => {
    const wanted =
      /^(package\.json|LICENSE|(README|CONTRIBUTING)\.md|docs\/(\w+\.md|images\/\w+\.svg)|CMakeLists\.txt|tools\/build-native\.js|bin\/specattn\.js|(cuda|models\/pretrained)\/.*|dist\/(backend|src|ops|models)\/.*\.(js|d\.ts)|src\/types\/\w+\.d\.ts)$/;
    expect(files.filter((file) => !wanted.test(file))).to.deep.equal([]);
  });

  // A user's program. It runs in a folder with the package and links to its dependencies, but with nothing else of this repository.
  const program = `
    const out = await generate('It was a dark', {maxNewTokens: 4, temperature: 0});
    console.log(JSON.stringify([typeof load, out.tokens.length]));`;

  function run(file: string, text: string): unknown {
    fs.writeFileSync(path.join(folder, file), text);
    const addon = path.join(packageRoot, 'build', 'Release', 'specattn.node');
    const env = {...process.env, ...(fs.existsSync(addon) ? {SPECATTN_ADDON: addon} : {})};
    return JSON.parse(execFileSync(process.execPath, [file], {cwd: folder, encoding: 'utf8', env}));
  }

  it('works with require', () => {
    const text = `const {generate, load} = require('specattn');\n(async () => {${program}})();`;
    expect(run('program.cjs', text)).to.deep.equal(['function', 4]);
  });

  it('works with import, by name', () => {
    expect(run('program.mjs', `import {generate, load} from 'specattn';${program}`)).to.deep.equal([
      'function',
      4,
    ]);
  });

  // README's snippets, checked by its command: strict and without skipLibCheck.
  const readme = fs.readFileSync(path.join(packageRoot, 'README.md'), 'utf8');
  const flags = /`npx tsc ([^`]*) snippet\.mts`/.exec(readme)![1].split(' ');
  const snippets = [...readme.matchAll(/^```ts\n(.*?)^```/gms)].map(([, text]) => text);

  for (const [name, compiler] of [
    ['TypeScript 5.9', 'typescript/bin/tsc'],
    ['TypeScript 7', '@typescript/native-preview/bin/tsgo'],
  ]) {
    const file = path.join(packageRoot, 'node_modules', compiler);
    const isThere = fs.existsSync(file);
    (isThere ? it : it.skip)(`has types for ${name}${isThere ? '' : ` (not found: ${compiler})`}`, () => {
      expect(snippets).to.have.length(3);
      expect(flags).to.include('--strict').and.not.include('--skipLibCheck');
      const types = path.join(folder, 'node_modules', '@types');
      fs.mkdirSync(types, {recursive: true});
      if (!fs.existsSync(path.join(types, 'node')))
        fs.symlinkSync(
          path.join(packageRoot, 'node_modules', '@types', 'node'),
          path.join(types, 'node'),
          'junction',
        );
      const programs = snippets.map((text, i) => {
        fs.writeFileSync(path.join(folder, `readme_${i}.mts`), text);
        return `readme_${i}.mts`;
      });
      const args = [file, ...flags, '--noEmit', '--listFiles', ...programs];
      const {status, stdout} = spawnSync(process.execPath, args, {cwd: folder, encoding: 'utf8'});
      const lines = stdout.split('\n');
      expect(lines.filter((line) => line.includes('error TS'))).to.deep.equal([]);
      expect(status).to.equal(0);
      expect(lines.some((line) => line.endsWith('specattn/dist/src/report/index.d.ts'))).to.equal(true);
      expect(lines.filter((line) => /vega/.test(line))).to.deep.equal([]);
      expect(
        lines.filter((line) => /lib\.dom\.d\.ts$/.test(line)),
        'the test needs a program without the DOM',
      ).to.deep.equal([]);
    });
  }

  it('has a command', () => {
    const bin = path.join(folder, 'node_modules', manifest.name, 'bin', 'specattn.js');
    const printed = execFileSync(process.execPath, [bin, '--version'], {cwd: folder, encoding: 'utf8'});
    expect(printed.trim()).to.equal(manifest.version);
  });
});
