// Builds the native device (CMakeLists.txt -> build/Release/specattn.node). Run by `npm install` and `npm run build:native`.
//
// The package works without the native device, on the composed fallbacks, so a failed build must not fail an install:
// where cmake or a compiler is missing, or on a compile error, the script says so in one line and exits 0.
//
//   --strict     for continuous integration: a failed build prints the end of the log and exits 1
//   --sanitize   builds with sanitizers into build/asan, for `npm run test:asan`
'use strict';

const {spawnSync} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const ROOT = path.join(__dirname, '..');
/** Loaded only with --sanitize. The published package does not contain sanitizers.js. */
const sanitizers = process.argv.includes('--sanitize') ? require('./sanitizers.js') : undefined;
const BUILD = sanitizers?.BUILD ?? path.join(ROOT, 'build');
const LOG = path.join(BUILD, 'build.log');
const CUDA_LOG = path.join(BUILD, 'build-cuda.log');
const ADDON = path.join(BUILD, 'Release', 'specattn.node');
const OLDEST_CMAKE = [3, 18];
const HOW_TO_INSTALL = `Install g++ 11 and cmake ${OLDEST_CMAKE.join('.')} or newer, then `;
// `npm rebuild specattn` works only where the package is a dependency, not in its own clone.
const INSTALLED = path.basename(path.dirname(ROOT)) === 'node_modules';
const REBUILD = INSTALLED ? 'npm rebuild specattn' : 'npm run build:native';

/**
 * The native device cannot be built. `reason` is printed between parentheses; `remedy` begins the sentence that says
 * how to try again.
 */
class NotBuilt extends Error {
  constructor(reason, remedy = '') {
    super(reason);
    this.remedy = remedy;
  }
}

/** What `command` prints on standard output; undefined if it cannot be run or fails. */
function outputOf(command, args) {
  const {status, stdout} = spawnSync(command, args, {encoding: 'utf8', windowsHide: true});
  return status === 0 ? stdout : undefined;
}

function checkCMake() {
  const version = /version (\d+)\.(\d+)/.exec(outputOf('cmake', ['--version']) ?? '');
  if (!version) throw new NotBuilt('cmake not found', HOW_TO_INSTALL);
  const [major, minor] = version.slice(1).map(Number);
  if (major < OLDEST_CMAKE[0] || (major === OLDEST_CMAKE[0] && minor < OLDEST_CMAKE[1])) {
    throw new NotBuilt(`cmake ${major}.${minor} is older than ${OLDEST_CMAKE.join('.')}`, HOW_TO_INSTALL);
  }
}

function checkCompiler() {
  const candidates = process.env.CXX ? [process.env.CXX.split(' ')[0]] : ['c++', 'g++', 'clang++'];
  if (!candidates.some((compiler) => outputOf(compiler, ['--version']) !== undefined)) {
    throw new NotBuilt(`no C++ compiler found: tried ${candidates.join(', ')}`, HOW_TO_INSTALL);
  }
}

function nodeApiHeaders() {
  try {
    return require('node-api-headers').include_dir;
  } catch {
    throw new NotBuilt('the package node-api-headers is not installed');
  }
}

/** Runs a command with its output appended to the log; true if it succeeded. */
function run(command, args, env = process.env) {
  const log = fs.openSync(LOG, 'a');
  try {
    fs.writeSync(log, `$ ${[command, ...args].join(' ')}\n`);
    return (
      spawnSync(command, args, {cwd: ROOT, env, stdio: ['ignore', log, log], windowsHide: true}).status === 0
    );
  } finally {
    fs.closeSync(log);
  }
}

function configure(headers, cuda, cudaFailed) {
  const args = ['-S', ROOT, '-B', BUILD, '-DCMAKE_BUILD_TYPE=Release', `-DNODE_API_HEADERS=${headers}`];
  args.push(`-DSPECATTN_CUDA=${cuda ? 'ON' : 'OFF'}`, `-DSPECATTN_CUDA_FAILED=${cudaFailed ? 'ON' : 'OFF'}`);
  if (sanitizers) args.push('-DSPECATTN_SANITIZE=ON', `-DSPECATTN_ISAS=${sanitizers.widestInstructionSet()}`);
  if (run('cmake', args)) return;
  // CMake refuses a cache from another compiler, generator or folder (a moved clone). Configure again without the cache.
  fs.rmSync(path.join(BUILD, 'CMakeCache.txt'), {force: true});
  fs.rmSync(path.join(BUILD, 'CMakeFiles'), {recursive: true, force: true});
  if (!run('cmake', args)) throw new NotBuilt(`cmake could not configure: ${firstError()}`);
}

function compile() {
  const gibibytes = os.totalmem() / 2 ** 30; // a compiler process takes about one GiB
  const jobs = Math.max(1, Math.min(os.availableParallelism(), Math.floor(gibibytes)));
  if (run('cmake', ['--build', BUILD, '--config', 'Release', '--parallel', String(jobs)])) return;
  fs.rmSync(ADDON, {force: true}); // an addon from an earlier build would not match the sources
  throw new NotBuilt(`the build failed: ${firstError()}`);
}

/** Loads the addon in another process, so that an addon which crashes does not crash the install. */
function checkAddon() {
  const env = sanitizers?.environment() ?? process.env;
  if (run(process.execPath, ['-e', 'require(process.argv[1])', ADDON], env)) return;
  fs.rmSync(ADDON, {force: true});
  throw new NotBuilt(`the addon was built but does not load: ${firstError()}`);
}

function build(headers, {cuda, cudaFailed}) {
  configure(headers, cuda, cudaFailed);
  compile();
  checkAddon();
}

/** Whether the log says that cmake found a CUDA compiler or was told to use one. */
function triedCuda() {
  return /CUDA compiler|CUDA object|CMAKE_CUDA_COMPILER/.test(fs.readFileSync(LOG, 'utf8'));
}

/** The first line of the log that mentions an error, followed by the log's path. */
function firstError() {
  const lines = fs.readFileSync(LOG, 'utf8').split('\n');
  const at = lines.findIndex((line) => /\berror\b/i.test(line));
  // CMake prints its message on the lines after "CMake Error at FILE:LINE:".
  const message = at < 0 ? '' : /^CMake Error/.test(lines[at]) ? `${lines[at]} ${lines[at + 1]}` : lines[at];
  const where = `see ${path.relative(process.cwd(), LOG)}`;
  return message ? `${message.replace(/\s+/g, ' ').trim()}; ${where}` : where;
}

function main() {
  const strict = process.argv.includes('--strict');
  try {
    for (const log of [LOG, CUDA_LOG]) fs.rmSync(log, {force: true});
    if (process.env.SPECATTN_SKIP_NATIVE === '1') throw new NotBuilt('SPECATTN_SKIP_NATIVE=1');
    checkCMake();
    checkCompiler();
    const headers = nodeApiHeaders();
    fs.mkdirSync(BUILD, {recursive: true});
    if (!fs.existsSync(ADDON))
      console.log(
        `specattn: compiling the native device, minutes once (log: ${path.relative(process.cwd(), LOG)})`,
      );
    try {
      build(headers, {cuda: !sanitizers});
    } catch (error) {
      if (strict || !triedCuda()) throw error;
      // The CUDA part can fail alone, for example because nvcc refuses the compiler. The CPU device is still worth building.
      fs.renameSync(LOG, CUDA_LOG);
      const message = error.message.replace(path.basename(LOG), path.basename(CUDA_LOG));
      console.error(`specattn: CUDA device not built (${message}); building without it.`);
      build(headers, {cuda: false, cudaFailed: true});
    }
  } catch (error) {
    // Other errors than NotBuilt, such as that of a read-only folder, must not fail an install either.
    const left = fs.existsSync(ADDON)
      ? 'keeping the one built before'
      : 'running on the composed ops of tfjs-backend-cpu';
    const remedy = `${error.remedy || 'To try again: '}\`${REBUILD}\``;
    console.error(`specattn: native device not built (${error.message}); ${left}. ${remedy}.`);
    if (strict && fs.existsSync(LOG)) {
      console.error(fs.readFileSync(LOG, 'utf8').split('\n').slice(-60).join('\n'));
    }
    process.exitCode = strict ? 1 : 0;
  }
}

main();
