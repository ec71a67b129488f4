/** Whatever a command will write is tried before its work. */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {installTensorFlow} from '../../src/cli/install_tensorflow/install.js';
import {tryFile, tryFolder} from '../../src/cli/outputs.js';

const BIN = path.join(packageRoot, 'bin', 'specattn.js');
const TEXT = path.join(packageRoot, 'test', 'data', 'passage_1.txt');
const DRAFT = path.join(packageRoot, 'models', 'pretrained', 'draft');

describe('what will be written', function () {
  this.timeout(120_000);
  let folder: string;
  beforeEach(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-outputs-'));
  });
  afterEach(() => fs.rmSync(folder, {recursive: true, force: true}));
  const at = (...names: string[]) => path.join(folder, ...names);
  const everything = () =>
    fs
      .readdirSync(folder, {recursive: true, withFileTypes: true})
      .map((entry) => entry.name)
      .sort();

  it('is a file: tried without a trace', () => {
    tryFile('--out', at('new.json'));
    expect(everything()).to.deep.equal([]);
    fs.writeFileSync(at('old.json'), 'old');
    const {mtimeMs} = fs.statSync(at('old.json'));
    tryFile('--out', at('old.json'));
    expect(fs.readFileSync(at('old.json'), 'utf8')).to.equal('old');
    expect(fs.statSync(at('old.json')).mtimeMs).to.equal(mtimeMs);
    const refused = `--out must be a file that can be written but is ${at('no', 'map.json')}: there is no folder ${at('no')}`;
    expect(() => tryFile('--out', at('no', 'map.json'))).to.throw(refused);
    expect(() => tryFile('--out', folder)).to.throw(`but is ${folder}: EISDIR`);
    expect(() => tryFile('--out', at('old.json', 'map.json'))).to.throw(/but is .*map\.json: ENOTDIR/);
    expect(everything()).to.deep.equal(['old.json']);
  });

  it('is a device, a pipe or a link: tried without a trace', function () {
    if (process.platform === 'win32') this.skip();
    tryFile('--out', '/dev/null');
    expect(spawnSync('mkfifo', [at('pipe')]).status).to.equal(0);
    tryFile('--out', at('pipe'));
    fs.symlinkSync('target.json', at('link.json'));
    tryFile('--out', at('link.json'));
    fs.symlinkSync(path.join('no', 'target.json'), at('broken.json'));
    expect(() => tryFile('--out', at('broken.json'))).to.throw(`there is no folder ${at('no')}`);
    expect(everything()).to.deep.equal(['broken.json', 'link.json', 'pipe']);
  });

  it('is a folder: tried without a trace', () => {
    tryFolder('--out', at('a', 'b'), ['x.json', path.join('figures', 'y.svg')]);
    expect(everything()).to.deep.equal([]);
    fs.mkdirSync(at('full', 'x.json'), {recursive: true});
    expect(() => tryFolder('--out', at('full'), ['w.json', 'x.json'])).to.throw(
      `--out must be a file that can be written but is ${at('full', 'x.json')}: EISDIR`,
    );
    fs.writeFileSync(at('file'), '');
    expect(() => tryFolder('--out', at('file'), ['x.json'])).to.throw(
      `--out must be a folder that can be written but is ${at('file')}: EEXIST`,
    );
    expect(() => tryFolder('--out', at('file', 'below'), ['x.json'])).to.throw(
      `--out must be a folder that can be written but is ${at('file', 'below')}: ENOTDIR`,
    );
    expect(everything()).to.deep.equal(['file', 'full', 'x.json']);
  });

  it('is refused where the folder allows no writing', function () {
    if (process.platform === 'win32' || process.getuid?.() === 0) this.skip();
    fs.chmodSync(folder, 0o555);
    try {
      expect(() => tryFile('--out', at('map.json'))).to.throw('EACCES');
      expect(() => tryFolder('--out', at('results'), ['x.json'])).to.throw('EACCES');
    } finally {
      fs.chmodSync(folder, 0o755);
    }
  });

  // A verifier that cannot be loaded shows that the trial comes before the loading.
  const broken = () => {
    fs.mkdirSync(at('broken'), {recursive: true});
    return at('broken');
  };
  const commands: [string, () => string[], RegExp][] = [
    [
      'calibrate --out',
      () => ['calibrate', '--text', TEXT, '--verifier', broken(), '--out', at('no', 'map.json')],
      /^specattn: --out must be a file that can be written but is .*map\.json: there is no folder .*no\n$/,
    ],
    [
      'calibrate --svg',
      () => ['calibrate', '--text', TEXT, '--verifier', broken(), '--out', at('m.json'), '--svg', folder],
      /^specattn: --svg must be a file that can be written but is .*: EISDIR/,
    ],
    [
      'calibrate without --out',
      () => {
        fs.mkdirSync(path.join(broken(), 'layer_map.json'));
        return ['calibrate', '--text', TEXT, '--verifier', broken()];
      },
      /^specattn: --out must be a file that can be written but is .*layer_map\.json: EISDIR/,
    ],
    [
      'evaluate --out',
      () => ['evaluate', '--texts', TEXT, '--verifier', broken(), '--out', path.join(TEXT, 'results')],
      /^specattn: --out must be a folder that can be written but is .*: ENOTDIR/,
    ],
    [
      'evaluate --out, its last file',
      () => {
        fs.mkdirSync(at('results', 'results.md'), {recursive: true});
        return ['evaluate', '--texts', TEXT, '--verifier', broken(), '--out', at('results')];
      },
      /^specattn: --out must be a file that can be written but is .*results\.md: EISDIR/,
    ],
    [
      'evaluate --task passkey --out',
      () => {
        fs.mkdirSync(at('results', 'passkey.md'), {recursive: true});
        const task = ['--task', 'passkey', '--verifier', broken()];
        return ['evaluate', '--texts', TEXT, ...task, '--out', at('results')];
      },
      /^specattn: --out must be a file that can be written but is .*passkey\.md: EISDIR/,
    ],
    [
      'report',
      () => {
        fs.mkdirSync(at('results', 'report.html'), {recursive: true});
        return ['report', at('results'), '--verifier', broken()];
      },
      /^specattn: --out must be a file that can be written but is .*report\.html: EISDIR/,
    ],
    [
      'report --out',
      () => ['report', folder, '--verifier', broken(), '--out', path.join(TEXT, 'page')],
      /^specattn: --out must be a folder that can be written but is .*: ENOTDIR/,
    ],
    [
      'export',
      () => {
        fs.mkdirSync(at('exported', 'model.json'), {recursive: true});
        return ['export', DRAFT, at('exported')];
      },
      /^specattn: out must be a file that can be written but is .*model\.json: EISDIR/,
    ],
  ];
  for (const [what, args, message] of commands) {
    it(`is tried first: ${what}`, () => {
      const all = args();
      const before = everything();
      const {status, stdout, stderr} = spawnSync(process.execPath, [BIN, ...all], {encoding: 'utf8'});
      expect(stderr).to.match(message);
      expect([status, stdout]).to.deep.equal([1, '']);
      expect(everything()).to.deep.equal(before);
    });
  }

  it('is refused where the map and its picture are one file', () => {
    const out = ['--out', at('map'), '--svg', path.join(folder, '.', 'map')];
    const {status, stderr} = spawnSync(process.execPath, [BIN, 'calibrate', '--text', TEXT, ...out], {
      encoding: 'utf8',
    });
    expect(stderr).to.include('--out and --svg must be two files but both are');
    expect(status).to.equal(2);
  });

  it('is tried first: the package that install-tensorflow changes', async () => {
    const target = {
      ...{name: '@tensorflow/tfjs-node', version: '4.22.0', root: at('read-only')},
      ...{napi: 8, binding: 'lib/napi-v8/tfjs_binding.node'},
    };
    // Not even root can write in a folder that is not there.
    const message = await installTensorFlow(target, {file: at('no.whl'), gpu: false, withCuda: false}).then(
      () => 'accepted',
      (error: Error) => error.message,
    );
    expect(message).to.include(
      `@tensorflow/tfjs-node must be in a folder that can be written but is in ${at('read-only')}: ENOENT`,
    );
  });
});
