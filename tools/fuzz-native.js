// `npm run test:fuzz:native -- --seconds 60` feeds launch descriptors to the CPU device under sanitizers, guided by
// coverage (cuda/fuzz/launch_descriptors.cc). It needs clang with libFuzzer (on Debian the packages clang and
// libclang-rt-14-dev); without them it prints the reason and does nothing. Its last line is `N passed, N failed`.
'use strict';

const {spawn, spawnSync} = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {Command, InvalidArgumentError} = require('commander');
const {widestInstructionSet} = require('./sanitizers.js');

const ROOT = path.join(__dirname, '..');
const CUDA = path.join(ROOT, 'cuda');
const BUILD = path.join(ROOT, 'build', 'fuzz');
const PROGRAM = path.join(BUILD, 'launch_descriptors');
const CORPUS = path.join(BUILD, 'corpus');
/**
 * Limits of libFuzzer: a descriptor has at most 4 KiB, and a launch that takes longer or needs more memory counts as a
 * failure.
 */
const LIMITS = ['-timeout=10', '-rss_limit_mb=4096', '-malloc_limit_mb=2048', '-max_len=4096'];
// Never avx512: the AVX-512 code of cuda/cpu/compact.h is written for g++.
const ISA = widestInstructionSet() === 'baseline' ? 'baseline' : 'avx2';
const FLAGS = [
  '-std=gnu++17',
  '-O1',
  '-g1',
  '-w',
  '-fno-math-errno',
  `-I${CUDA}`,
  `-DSPECATTN_ISA=${ISA}`,
  `-DSPECATTN_HAS_${ISA}`,
];
FLAGS.push('-fsanitize=fuzzer,address,undefined', '-fno-sanitize=function,vptr', '-fno-sanitize-recover=all');
FLAGS.push('-include', path.join(CUDA, 'fuzz', 'gcc_builtins.h'));
if (ISA === 'avx2') FLAGS.push('-mavx2', '-mfma', '-mf16c');

const seconds = (text) => {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of seconds.');
  return Number(text);
};

/** Why this machine cannot run the test; undefined if it can. */
function missing(compiler) {
  if (spawnSync(compiler, ['--version']).status !== 0) return `there is no ${compiler}`;
  const source = 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }';
  const args = ['-fsanitize=fuzzer,address,undefined', '-x', 'c++', '-', '-o', os.devNull];
  return spawnSync(compiler, args, {input: source}).status === 0 ? undefined : `${compiler} has no libFuzzer`;
}

function sources() {
  const kernels = fs.readdirSync(path.join(CUDA, 'kernels')).filter((name) => name.endsWith('.cc'));
  const others = [
    'core/allocator.cc',
    'core/launch_descriptor.cc',
    'core/status.cc',
    'cpu/cpu_device.cc',
    'cpu/table.cc',
    'cpu/thread_pool.cc',
  ];
  return [...kernels.map((name) => `kernels/${name}`), ...others, 'fuzz/launch_descriptors.cc'];
}

/**
 * Compiles the sources that changed since the last build, one process for each core, and links the program. A changed
 * header recompiles all.
 */
async function build(compiler) {
  fs.mkdirSync(BUILD, {recursive: true});
  const headers = fs.readdirSync(CUDA, {recursive: true}).filter((name) => /\.(h|def)$/.test(name));
  const newest = Math.max(...headers.map((name) => fs.statSync(path.join(CUDA, name)).mtimeMs));
  const objectOf = (source) => path.join(BUILD, `${source.replaceAll('/', '_')}.o`);
  const queue = sources().filter((source) => {
    const object = objectOf(source);
    const since = Math.max(newest, fs.statSync(path.join(CUDA, source)).mtimeMs);
    return !fs.existsSync(object) || fs.statSync(object).mtimeMs < since;
  });
  const work = async () => {
    for (let source = queue.shift(); source; source = queue.shift())
      await run(compiler, [...FLAGS, '-c', path.join(CUDA, source), '-o', objectOf(source)]);
  };
  await Promise.all(Array.from({length: os.availableParallelism()}, work));
  await run(compiler, [...FLAGS, ...sources().map(objectOf), '-o', PROGRAM]);
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {stdio: 'inherit'});
    child.on('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} failed: ${args.join(' ')}`)),
    );
  });
}

/**
 * Runs the program and prints how many launches it made. The output of a failed run names the file in which libFuzzer
 * kept the case.
 */
function fuzz({seconds, seed}) {
  require('../dist/test/fuzz/seeds.js').writeSeeds(CORPUS);
  const limits = [...LIMITS, `-max_total_time=${seconds}`, `-seed=${seed}`, `-artifact_prefix=${BUILD}/`];
  const env = {
    ...process.env,
    SPECATTN_THREADS: '1',
    ASAN_OPTIONS: 'allocator_may_return_null=1:detect_leaks=1',
  };
  const {status, stderr} = spawnSync(PROGRAM, [...limits, '-print_final_stats=1', CORPUS], {
    env,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) console.log(stderr.split('\n').slice(-80).join('\n'));
  const ran = Number(/stat::number_of_executed_units:\s*(\d+)/.exec(stderr)?.[1] ?? 0);
  const coverage = [...stderr.matchAll(/cov: (\d+)/g)].at(-1)?.[1];
  console.log(
    `launches, guided by coverage: ${ran} cases in ${seconds} s, ${coverage ?? 'no'} edges reached`,
  );
  console.log(`${status === 0 ? ran : Math.max(0, ran - 1)} passed, ${status === 0 ? 0 : 1} failed`);
  process.exitCode = status === 0 ? 0 : 1;
}

async function main(options) {
  const compiler = process.env.FUZZ_CXX ?? 'clang++';
  const reason = missing(compiler);
  if (reason) {
    console.log(`test:fuzz:native is skipped: ${reason}`);
    console.log('0 passed, 0 failed');
    return;
  }
  await build(compiler);
  fuzz(options);
}

void new Command('test:fuzz:native')
  .description('Feeds launches to the native kernels, guided by coverage.')
  .option('--seconds <n>', 'how long', seconds, 60)
  .option('--seed <n>', 'of the mutations; 0: by the clock', Number, 0)
  .action(main)
  .parseAsync();
