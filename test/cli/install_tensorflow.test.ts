import {spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {librariesOf, missingLibraries} from '../../src/cli/install_tensorflow/cuda.js';
import {describeWith} from '../package/tools.js';
import {tensorflowFiles, writeTfjsNode, writeWheel} from './made_wheel.js';

const BIN = path.join(packageRoot, 'bin', 'specattn.js');
const PLATFORM = `manylinux_2_17_${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}`;
const DISTRIBUTION = process.arch === 'arm64' ? 'tensorflow' : 'tensorflow-cpu';

if (process.platform === 'linux') {
  describeWith(['g++'], 'specattn install-tensorflow', suite);
} else {
  describe.skip('specattn install-tensorflow (Linux only)', suite);
}

function suite(this: Mocha.Suite) {
  this.timeout(60_000);
  let folder: string;
  let wheel: string;
  let newer: string;
  let project: string;
  let root: string;

  before(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-install-'));
    wheel = await made('2.21.0');
    newer = await made('2.22.0');
  });
  after(() => fs.rmSync(folder, {recursive: true, force: true}));

  beforeEach(() => {
    project = fs.mkdtempSync(path.join(folder, 'project-'));
    root = writeTfjsNode(project);
  });

  /** A wheel whose TensorFlow reports `version`. The name of the file says 2.21.0 in any case. */
  async function made(version: string, record?: (line: string) => string): Promise<string> {
    const place = fs.mkdtempSync(path.join(folder, 'wheel-'));
    const file = path.join(place, `${DISTRIBUTION.replace('-', '_')}-2.21.0-cp312-cp312-${PLATFORM}.whl`);
    return writeWheel(file, DISTRIBUTION, tensorflowFiles(place, version), record);
  }

  function install(args: string[], env: NodeJS.ProcessEnv = {}) {
    const {status, stdout, stderr} = spawnSync(process.execPath, [BIN, 'install-tensorflow', ...args], {
      cwd: project,
      encoding: 'utf8',
      env: {...process.env, CXX: '', XDG_CACHE_HOME: path.join(project, 'cache'), ...env},
    });
    expect(stdout).to.equal('');
    return {status, stderr};
  }

  function succeeds(...args: Parameters<typeof install>): string {
    const {status, stderr} = install(...args);
    expect(status, stderr).to.equal(0);
    return stderr;
  }

  function fails(...args: Parameters<typeof install>): string {
    const {status, stderr} = install(...args);
    expect(status, stderr).to.equal(1);
    expect(stderr).not.to.match(/^ {4}at /m);
    return stderr;
  }

  /** TensorFlow's version as a program in the project sees it; undefined if tfjs-node does not load. */
  function versionInUse(): string | undefined {
    const program = "console.log(require('@tensorflow/tfjs-node').backend().binding.TF_Version)";
    const {status, stdout} = spawnSync(process.execPath, ['-e', program], {cwd: project, encoding: 'utf8'});
    return status === 0 ? stdout.trim() : undefined;
  }

  /** The content of every file below the package's folder. */
  function contents(): Record<string, string> {
    const files = fs.readdirSync(root, {recursive: true, encoding: 'utf8'}).sort();
    const isFile = (file: string) => fs.statSync(path.join(root, file)).isFile();
    return Object.fromEntries(
      files.filter(isFile).map((file) => [file, fs.readFileSync(path.join(root, file), 'latin1')]),
    );
  }

  it('makes tfjs-node run on the TensorFlow of a wheel', () => {
    expect(versionInUse()).to.equal(undefined);
    expect(succeeds(['--from', wheel])).to.include('@tensorflow/tfjs-node 4.22.0 runs on TensorFlow 2.21.0');
    expect(versionInUse()).to.equal('2.21.0');
    const headers = fs.readdirSync(path.join(root, 'deps/include'), {recursive: true, encoding: 'utf8'});
    expect(headers.filter((file) => file.endsWith('.h'))).to.have.members([
      'tensorflow/c/c_api.h',
      'tensorflow/c/c_api_macros.h',
    ]);
  });

  it('touches nothing but deps, lib and a folder of its own', () => {
    const before = contents();
    succeeds(['--from', wheel]);
    expect(contents()).to.include(before);
    expect(fs.readdirSync(root)).to.have.members([
      '.specattn',
      'binding',
      'deps',
      'dist',
      'lib',
      'package.json',
    ]);
    expect(fs.readdirSync(path.join(project, 'node_modules', '@tensorflow'))).to.deep.equal(['tfjs-node']);
  });

  it('repeats only steps that are not done', () => {
    succeeds(['--from', wheel]);
    const stderr = succeeds(['--from', wheel]);
    expect(stderr).to.match(/^specattn: @tensorflow\/tfjs-node .*\n$/);
  });

  it('continues after an interruption while unpacking', () => {
    succeeds(['--from', wheel]);
    const [unpacked] = fs.readdirSync(path.join(root, '.specattn'));
    const inUnpacked = (file: string) => path.join(root, '.specattn', unpacked, file);
    const kept = fs.statSync(inUnpacked('deps/lib/libtensorflow_cc.so.2')).mtimeMs;
    for (const file of ['wheel.json', 'lib', 'deps/lib/libtensorflow_framework.so.2'])
      fs.rmSync(inUnpacked(file), {recursive: true});
    for (const link of ['deps', 'lib']) fs.unlinkSync(path.join(root, link));
    fs.writeFileSync(inUnpacked('deps/lib/libtensorflow_framework.so.2.part'), 'the first bytes');

    succeeds(['--from', wheel]);
    expect(versionInUse()).to.equal('2.21.0');
    expect(fs.statSync(inUnpacked('deps/lib/libtensorflow_cc.so.2')).mtimeMs).to.equal(kept);
  });

  it('continues after no compiler was found', () => {
    const stderr = fails(['--from', wheel], {CXX: 'no-such-compiler'});
    expect(stderr).to.include('no C++ compiler found: tried no-such-compiler. Install g++');
    expect(versionInUse()).to.equal(undefined);
    expect(succeeds(['--from', wheel])).not.to.include('unpacking');
    expect(versionInUse()).to.equal('2.21.0');
  });

  it('quotes the error if the binding does not compile', () => {
    fs.appendFileSync(path.join(root, 'binding/tfjs_binding.cc'), '#error "out of luck"\n');
    const stderr = fails(['--from', wheel]);
    expect(stderr).to.match(/binding does not compile: .*error: #error "out of luck"; see .*build\.log/);
    expect(fs.readFileSync(/see (.*build\.log)/.exec(stderr)![1], 'utf8')).to.include('-DNAPI_VERSION=8');
  });

  it('--undo restores the previous files, and succeeds if there is nothing to undo', () => {
    for (const part of ['deps', 'lib']) {
      fs.mkdirSync(path.join(root, part));
      fs.writeFileSync(path.join(root, part, 'official'), part);
    }
    const before = contents();
    succeeds(['--from', wheel]);
    succeeds(['--from', newer]);
    expect(versionInUse()).to.equal('2.22.0');
    expect(succeeds(['--undo'])).to.include('is as it was before');
    expect(contents()).to.deep.equal(before);
    expect(succeeds(['--undo'])).to.include('has nothing of install-tensorflow');
    expect(contents()).to.deep.equal(before);
  });

  it('--undo removes everything it added, even after an interruption between two renames', () => {
    const before = contents();
    succeeds(['--from', wheel]);
    fs.unlinkSync(path.join(root, 'lib'));
    succeeds(['--undo']);
    expect(contents()).to.deep.equal(before);
    expect(fs.readdirSync(root)).to.have.members(['binding', 'dist', 'package.json']);
  });

  it('keeps one wheel unpacked', () => {
    succeeds(['--from', wheel]);
    succeeds(['--from', newer]);
    expect(fs.readdirSync(path.join(root, '.specattn'))).to.have.length(1);
  });

  it('keeps the working TensorFlow if a new one does not run', async () => {
    succeeds(['--from', wheel]);
    const stderr = fails(['--from', await made('')]);
    expect(stderr).to.match(/@tensorflow\/tfjs-node 4\.22\.0 does not run with it: .*TF_Version/);
    expect(versionInUse()).to.equal('2.21.0');
  });

  describe('checks checksums', () => {
    it('of every file against RECORD', async () => {
      const damaged = await made('2.21.0', (line) => line.replace(/(framework\.so\.2,sha256=)./, '$1_'));
      expect(fails(['--from', damaged])).to.match(
        /is damaged: tensorflow\/libtensorflow_framework\.so\.2 has SHA-256 \S+, its RECORD says _/,
      );
      expect(fs.readdirSync(root)).to.have.members(['.specattn', 'binding', 'dist', 'package.json']);
    });

    it('that RECORD has them', async () => {
      const silent = await made('2.21.0', (line) => line.replace(/(c_api\.h),sha256=[^,]*/, '$1,'));
      expect(fails(['--from', silent])).to.include(
        'its RECORD has no SHA-256 of tensorflow/include/tensorflow/c/c_api.h',
      );
    });

    it('of the wheel against --sha256', () => {
      const digits = createHash('sha256').update(fs.readFileSync(wheel)).digest('hex');
      expect(fails(['--from', newer, '--sha256', digits])).to.match(
        RegExp(`has SHA-256 [0-9a-f]{64}, expected ${digits}`),
      );
      succeeds(['--from', wheel, '--sha256', digits.toUpperCase()]);
    });
  });

  describe('refuses', () => {
    const usage: [string, string[], string][] = [
      ['two sources', ['--from', 'x.whl', '--version', '2.21.0'], "'--from <wheel>' cannot be used with"],
      ['an undo with a source', ['--undo', '--from', 'x.whl'], "'--undo' cannot be used with"],
      ['an invalid SHA-256', ['--sha256', 'abc'], 'It must be 64 hexadecimal digits.'],
      ['CUDA without a GPU', ['--with-cuda'], "option '--with-cuda' wants '--gpu'"],
      ['a wheel that is not there', ['--from', 'x.whl'], '--from x.whl: there is no such file'],
    ];
    for (const [what, args, message] of usage) {
      it(what, () => {
        const {status, stderr} = install(args);
        expect(stderr).to.include(message);
        expect(status).to.equal(2);
      });
    }

    it('a project without tfjs-node', () => {
      expect(fails(['--gpu'])).to.match(
        /@tensorflow\/tfjs-node-gpu is not installed in .*: first `npm install --ignore-scripts @tensorflow\/tfjs-node-gpu`/,
      );
    });

    it('a file that is not a wheel of TensorFlow for this machine', async () => {
      const file = (name: string) => path.join(project, name);
      fs.writeFileSync(file('text.whl'), 'not a zip archive');
      expect(fails(['--from', 'text.whl'])).to.include('text.whl cannot be read as a wheel');
      await writeWheel(file(`numpy-${PLATFORM}.whl`), 'numpy', {'numpy/__init__.py': ''});
      expect(fails(['--from', `numpy-${PLATFORM}.whl`])).to.include(
        'holds no tensorflow/libtensorflow_cc.so.2: expected a wheel of tensorflow or tensorflow-cpu',
      );
      const files = {'tensorflow/libtensorflow_cc.so.2': '', 'tensorflow/libtensorflow_framework.so.2': ''};
      await writeWheel(file('far-manylinux_2_17_s390x.whl'), 'tensorflow', files);
      expect(fails(['--from', 'far-manylinux_2_17_s390x.whl'])).to.match(
        /is for cp312-cp312-manylinux_2_17_s390x; this machine is linux_/,
      );
    });

    it('a TensorFlow without CUDA with --gpu', function () {
      if (process.arch === 'arm64') this.skip(); // on arm64 --gpu is refused earlier
      writeTfjsNode(project, '@tensorflow/tfjs-node-gpu');
      expect(fails(['--gpu', '--from', wheel])).to.include(
        'has no CUDA: with --gpu expected a wheel of tensorflow',
      );
    });

    /** An environment in which the command finds another machine: Node runs the script `difference` first. */
    function elsewhere(difference: string): NodeJS.ProcessEnv {
      const file = path.join(project, 'elsewhere.cjs');
      fs.writeFileSync(file, difference);
      return {NODE_OPTIONS: `--require ${file}`};
    }

    it('Node 23 and later, which removed a function that tfjs-node calls', () => {
      const env = elsewhere("delete require('node:util').isNullOrUndefined");
      expect(fails(['--from', wheel], env)).to.match(
        /@tensorflow\/tfjs-node 4\.22\.0 does not run on Node .*: it calls util\.isNullOrUndefined, which Node 23 removed\. Use Node 22 or 20/,
      );
    });

    it('macOS and Windows, which have an installer', () => {
      const env = elsewhere("Object.defineProperty(process, 'platform', {value: 'darwin'})");
      expect(fails(['--from', wheel], env)).to.match(
        /knows Linux on x64 and arm64, this is darwin on \w+: use .* `npm rebuild @tensorflow\/tfjs-node`/,
      );
    });
  });

  it('names every pip that it looked for', () => {
    const {status, stderr} = install([], {PATH: project});
    expect(status).to.equal(1);
    expect(stderr).to.match(
      /tensorflow\S*==2\.21\.0 cannot be downloaded: pip was not found \(tried python3 -m pip, .*\)\. .* name it with --from/,
    );
  });

  describeWith(['python3'], 'with pip', () => {
    before(function () {
      if (spawnSync('python3', ['-m', 'pip', '--version']).status !== 0) this.skip();
    });

    it('downloads a wheel once, and keeps it', () => {
      // With these settings pip takes packages from a folder instead of an index.
      const env = {PIP_NO_INDEX: '1', PIP_FIND_LINKS: path.dirname(wheel)};
      expect(succeeds([], env)).to.match(/downloading tensorflow\S*==2\.21\.0 with pip/);
      expect(versionInUse()).to.equal('2.21.0');
      succeeds(['--undo']);
      expect(succeeds([], {PIP_NO_INDEX: '1', PIP_FIND_LINKS: project})).to.include('is in the cache');

      const cache = path.join(project, 'cache/specattn/wheels');
      const [file] = fs
        .readdirSync(cache, {recursive: true, encoding: 'utf8'})
        .filter((name) => name.endsWith('.whl'));
      fs.truncateSync(path.join(cache, file), 1000);
      succeeds(['--undo']);
      expect(succeeds([], env)).to.include('downloading');
    });

    it('says what to do if the version is not available', () => {
      const env = {PIP_NO_INDEX: '1', PIP_FIND_LINKS: path.dirname(wheel)};
      expect(fails(['--version', '1.0'], env)).to.match(
        /pip could not download tensorflow\S*==1\.0 for Linux \w+ .*name it with --from/,
      );
    });
  });
}

describe('the CUDA libraries of a TensorFlow', () => {
  it('follow from the requirements of its wheel', () => {
    const requirements = [
      'nvidia-cublas-cu12<13.0,>=12.5.3.2',
      'nvidia-cuda-nvcc-cu12<13.0,>=12.5.82',
      'nvidia-cuda-runtime-cu12<13.0,>=12.5.82',
      'nvidia-cudnn-cu12<10.0,>=9.3.0.75',
      'nvidia-cufft>=12.0',
    ];
    expect(librariesOf(requirements)).to.deep.equal([
      'libcublasLt.so.12',
      'libcublas.so.12',
      'libcudart.so.12',
      'libcudnn.so.9',
      'libcufft.so.12',
    ]);
  });

  it('are missing if they cannot be opened, and found where they were unpacked', function () {
    if (process.platform !== 'linux') this.skip();
    const deps = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-cuda-'));
    try {
      const lib = path.join(deps, 'nvidia/some/lib');
      fs.mkdirSync(lib, {recursive: true});
      fs.writeFileSync(path.join(lib, 'libbroken.so.1'), 'no library');
      const missing = missingLibraries(['libc.so.6', 'libnowhere.so.7', 'libbroken.so.1'], deps);
      const reasons = Object.fromEntries(missing.map(({name, reason}) => [name, reason]));
      expect(reasons).not.to.have.property('libc.so.6');
      expect(reasons['libnowhere.so.7']).to.include('No such file');
      expect(reasons['libbroken.so.1']).to.include(path.join(lib, 'libbroken.so.1'));
    } finally {
      fs.rmSync(deps, {recursive: true});
    }
  });
});
