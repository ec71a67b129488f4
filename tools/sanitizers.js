// Where the addon with sanitizers is built (build-native.js --sanitize), and the environment in which a process can load it.
'use strict';

const {spawnSync} = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const BUILD = path.join(__dirname, '..', 'build', 'asan');
const ADDON = path.join(BUILD, 'Release', 'specattn.node');
/**
 * Libraries to preload. The sanitizers must be loaded before all other libraries, and without libstdc++ they do not
 * find its exceptions.
 */
const LIBRARIES = ['libasan.so', 'libstdc++.so.6'];

/** Path of the compiler's library `name`; undefined if the compiler has none. */
function libraryFile(name) {
  const {stdout} = spawnSync(process.env.CXX ?? 'g++', [`-print-file-name=${name}`], {encoding: 'utf8'});
  const file = (stdout ?? '').trim();
  return path.isAbsolute(file) ? file : undefined;
}

/** Why this machine cannot run the addon with sanitizers; undefined if it can. */
function missing() {
  if (process.platform !== 'linux') return `they are set up for Linux, and this is ${process.platform}`;
  const name = LIBRARIES.find((library) => !libraryFile(library));
  return name && `${process.env.CXX ?? 'g++'} has no ${name}`;
}

/** Environment variables for a process that loads the addon. */
function environment() {
  return {
    ...process.env,
    SPECATTN_ADDON: ADDON,
    LD_PRELOAD: LIBRARIES.map(libraryFile).join(' '),
    // The leak detector would report memory that Node does not free before the process ends. Leaks of buffers are found
    // by counting them (test/decoding/memory.test.ts, test/fuzz). An allocation that is too large must return null,
    // because the addon turns it into a JavaScript Error.
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
  };
}

/**
 * The widest instruction set of this processor. Its kernels access the most memory at once, so they are the ones to
 * check for bounds.
 */
function widestInstructionSet() {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(fs.readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' '));
  if (['avx512f', 'avx512bw', 'avx512dq', 'avx512vl'].every((flag) => flags.has(flag))) return 'avx512';
  return flags.has('avx2') && flags.has('fma') ? 'avx2' : 'baseline';
}

module.exports = {BUILD, environment, missing, widestInstructionSet};
