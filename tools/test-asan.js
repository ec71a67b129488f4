// `npm run test:asan` runs the tests of the kernels, and random launches, on an addon with sanitizers. An access out of
// bounds or undefined behaviour ends the process with a report. `-- --seed N` repeats the same random launches. The
// last line is `N passed, N failed`.
'use strict';

const {spawnSync} = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const sanitizers = require('./sanitizers.js');

const ROOT = path.join(__dirname, '..');
const RESULT = path.join(sanitizers.BUILD, 'test-result.txt');
/** Tests of the kernels and of the addon. Tests that start other processes or load another addon are left out. */
const TESTS = ['ops/*', 'backend/capture', 'backend/empty', 'backend/kernels_*', 'backend/temporaries'];
TESTS.push('backend/launch_descriptor', 'backend/upload_file', 'decoding/memory');
/**
 * Titles of tests to leave out: other backends, and long runs of the embedded pair, since the tiny pair runs the same
 * native code.
 */
const LEFT_OUT = 'on (cpu|wasm|tensorflow)|memory of the embedded pair|caches that no memory holds';
/** Targets of test/fuzz, and the number of random cases of each. */
const TARGETS = {launches: 100_000, 'native device': 5_000};

function run(args, options = {}) {
  return spawnSync(process.execPath, args, {cwd: ROOT, stdio: 'inherit', ...options});
}

/** The counts in `12 passed, 1 failed`. A text without such a line counts as one failure. */
function counts(text) {
  const [, passed, failed] = /(\d+) passed, (\d+) failed/.exec(text ?? '') ?? [0, 0, 1];
  return {passed: Number(passed), failed: Number(failed)};
}

function runTests(env) {
  fs.rmSync(RESULT, {force: true});
  const files = TESTS.map((name) => `dist/test/${name}.test.js`);
  const mocha = path.join(ROOT, 'node_modules', 'mocha', 'bin', 'mocha.js');
  const options = [
    '--timeout',
    '600000',
    '--grep',
    LEFT_OUT,
    '--invert',
    '--reporter-option',
    `result=${RESULT}`,
  ];
  const {status, signal} = run([mocha, ...options, ...files], {env});
  const found = counts(fs.existsSync(RESULT) ? fs.readFileSync(RESULT, 'utf8') : '');
  if (status !== 0 && found.failed === 0) found.failed = 1; // the process failed after its last test
  if (signal) console.error(`the tests ended by ${signal}`);
  return found;
}

function runFuzz(env, target, cases) {
  const seed = process.argv.slice(2);
  const args = ['dist/test/fuzz/index.js', '--only', target, '--cases', String(cases), ...seed];
  const {stdout} = run(args, {env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']});
  process.stdout.write(stdout);
  return counts(stdout);
}

function main() {
  const reason = sanitizers.missing();
  if (reason) {
    console.log(`test:asan is skipped: ${reason}`);
    console.log('0 passed, 0 failed');
    return;
  }
  const built = run([path.join(__dirname, 'build-native.js'), '--strict', '--sanitize']);
  if (built.status !== 0) process.exit(built.status ?? 1);
  const env = sanitizers.environment();
  const all = [
    runTests(env),
    ...Object.entries(TARGETS).map(([target, cases]) => runFuzz(env, target, cases)),
  ];
  const sum = (name) => all.reduce((total, found) => total + found[name], 0);
  console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
  process.exitCode = sum('failed') > 0 ? 1 : 0;
}

main();
