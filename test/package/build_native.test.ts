import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {describeWith, which} from './tools.js';

const CMAKE = `
cmake_minimum_required(VERSION 3.18)
project(specattn CXX)
add_library(specattn MODULE addon.cc)
target_include_directories(specattn PRIVATE \${NODE_API_HEADERS})
set_target_properties(specattn PROPERTIES PREFIX "" SUFFIX ".node" LIBRARY_OUTPUT_DIRECTORY \${CMAKE_BINARY_DIR}/Release)
`;
const ADDON = '#include <node_api.h>\nNAPI_MODULE_INIT() { return exports; }\n';

describe('tools/build-native.js', function () {
  let project: string;
  let addon: string;

  before(function () {
    if (process.platform === 'win32') this.skip(); // these tests fill folders of PATH with symbolic links
  });

  beforeEach(() => {
    project = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-build-'));
    addon = path.join(project, 'build', 'Release', 'specattn.node');
    fs.mkdirSync(path.join(project, 'tools'));
    fs.copyFileSync(
      path.join(packageRoot, 'tools/build-native.js'),
      path.join(project, 'tools/build-native.js'),
    );
    fs.symlinkSync(path.join(packageRoot, 'node_modules'), path.join(project, 'node_modules'));
    fs.writeFileSync(path.join(project, 'CMakeLists.txt'), CMAKE);
    fs.writeFileSync(path.join(project, 'addon.cc'), ADDON);
  });

  afterEach(() => fs.rmSync(project, {recursive: true, force: true}));

  function build(args: string[] = [], env: NodeJS.ProcessEnv = {}) {
    const command = [path.join(project, 'tools/build-native.js'), ...args];
    const clean = {...process.env, SPECATTN_SKIP_NATIVE: '', CXX: '', ...env};
    const {status, stdout, stderr} = spawnSync(process.execPath, command, {encoding: 'utf8', env: clean});
    return {status, stdout, stderr};
  }

  /** An environment whose PATH has these programs and no others. */
  function only(...programs: string[]): NodeJS.ProcessEnv {
    const folder = path.join(project, 'bin');
    fs.mkdirSync(folder);
    for (const program of programs) fs.symlinkSync(which(program)!, path.join(folder, program));
    return {PATH: folder};
  }

  it('says in one line that cmake is missing, and how to get it, and succeeds', () => {
    const {status, stderr} = build([], only());
    expect(status).to.equal(0);
    expect(stderr).to.match(
      /^specattn: native device not built \(cmake not found\); running on the composed ops of tfjs-backend-cpu\. Install g\+\+ 11 and cmake 3\.18 or newer, then `npm run build:native`\.\n$/,
    );
  });

  it('fails with --strict', () => {
    const {status, stderr} = build(['--strict'], only());
    expect(status).to.equal(1);
    expect(stderr).to.include('(cmake not found)');
  });

  it('refuses a cmake that is too old', () => {
    const env = only();
    fs.writeFileSync(path.join(env.PATH!, 'cmake'), '#!/bin/sh\necho cmake version 3.10.2\n', {mode: 0o755});
    // The script needs no program of the PATH, since `echo` is a builtin of sh.
    expect(build([], env).stderr).to.include('(cmake 3.10 is older than 3.18)');
  });

  it('builds nothing if SPECATTN_SKIP_NATIVE=1', () => {
    const {status, stderr} = build([], {SPECATTN_SKIP_NATIVE: '1'});
    expect(status).to.equal(0);
    expect(stderr).to.include('(SPECATTN_SKIP_NATIVE=1)');
    expect(fs.existsSync(addon)).to.equal(false);
  });

  describeWith(['cmake', 'c++', 'make'], 'with cmake', function () {
    this.timeout(120_000);

    it('names the compilers that it looked for', () => {
      const {status, stderr} = build([], only('cmake'));
      expect(status).to.equal(0);
      expect(stderr).to.include('(no C++ compiler found: tried c++, g++, clang++)');
    });

    it('says that it takes long, then builds silently, and again only what changed', () => {
      const {status, stdout, stderr} = build(['--strict']);
      expect({status, stderr}).to.deep.equal({status: 0, stderr: ''});
      expect(stdout).to.match(
        /^specattn: compiling the native device, minutes once \(log: .*build\.log\)\n$/,
      );
      const first = fs.statSync(addon).mtimeMs;
      expect(build(['--strict'])).to.deep.equal({status: 0, stdout: '', stderr: ''});
      expect(fs.statSync(addon).mtimeMs).to.equal(first);
    });

    it('builds in a folder that was moved together with its build', () => {
      expect(build(['--strict']).status).to.equal(0);
      const cache = path.join(project, 'build', 'CMakeCache.txt');
      fs.writeFileSync(
        cache,
        fs.readFileSync(cache, 'utf8').replaceAll(fs.realpathSync(project), '/elsewhere'),
      );
      expect(build(['--strict']).stderr).to.equal('');
    });

    it('quotes the first error of a failed build, leaves no stale addon, and succeeds', () => {
      expect(build().status).to.equal(0);
      fs.appendFileSync(path.join(project, 'addon.cc'), 'int broken = missing;\n');
      const {status, stderr} = build();
      expect(status).to.equal(0);
      expect(stderr).to.match(/the build failed: .*addon\.cc:3:\d+: error: .*missing.*; see .*build\.log/);
      expect(stderr.trimEnd().split('\n')).to.have.length(1);
      expect(fs.existsSync(addon)).to.equal(false);
      expect(build(['--strict']).status).to.equal(1);
    });

    it('rejects an addon that does not load', () => {
      fs.appendFileSync(
        path.join(project, 'addon.cc'),
        'extern "C" int missing();\nint broken = missing();\n',
      );
      const {status, stderr} = build();
      expect(status).to.equal(0);
      expect(stderr).to.match(/native device not built \(.*missing/);
      expect(fs.existsSync(addon)).to.equal(false);
    });
  });
});
