// The build with sanitizers (build-native.js --sanitize) and what a process needs to load it.
'use strict';

const {spawnSync} = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const BUILD = path.join(__dirname, '..', 'build', 'asan');
const ADDON = path.join(BUILD, 'Release', 'specattn.node');
/** Sanitizers' libraries come before all others in a process; and libstdc++ with them, or C++ exceptions are not found. */
const LIBRARIES = ['libasan.so', 'libstdc++.so.6'];

/** A library of the compiler's; undefined where it has none of that name. */
function libraryFile(name) {
  const {stdout} = spawnSync(process.env.CXX ?? 'g++', [`-print-file-name=${name}`], {encoding: 'utf8'});
  const file = (stdout ?? '').trim();
  return path.isAbsolute(file) ? file : undefined;
}

/** Why there are no sanitizers here; undefined where there are. */
function missing() {
  if (process.platform !== 'linux') return `they are set up for Linux, and this is ${process.platform}`;
  const name = LIBRARIES.find((library) => !libraryFile(library));
  return name && `${process.env.CXX ?? 'g++'} has no ${name}`;
}

/** Environment variables of a process that loads the build. */
function environment() {
  return {
    ...process.env,
    SPECATTN_ADDON: ADDON,
    LD_PRELOAD: LIBRARIES.map(libraryFile).join(' '),
    // Node keeps what it allocates until the process ends: leaks are looked for by counting buffers (test/decoding/memory.test.ts, test/fuzz).
    // An allocation that is too large is an Error of ours, and no reason to end the process.
    ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
  };
}

/** The widest instruction set that this processor has: its kernels read and write furthest at a time. */
function widestInstructionSet() {
  const flags = new Set(/^flags\s*:(.*)$/m.exec(fs.readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' '));
  if (['avx512f', 'avx512bw', 'avx512dq', 'avx512vl'].every((flag) => flags.has(flag))) return 'avx512';
  return flags.has('avx2') && flags.has('fma') ? 'avx2' : 'baseline';
}

module.exports = {BUILD, environment, missing, widestInstructionSet};
