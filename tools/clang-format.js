// Formats all sources of cuda/ with clang-format, in the style of .clang-format. With --check it changes nothing and
// fails if a file is not formatted.
'use strict';

const {spawnSync} = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const {getNativeBinary} = require('clang-format');

const ROOT = path.join(__dirname, '..');
const SOURCES = /\.(cc|h|cu|cuh)$/;

const files = fs
  .readdirSync(path.join(ROOT, 'cuda'), {recursive: true})
  .filter((file) => SOURCES.test(file))
  .map((file) => path.join('cuda', file))
  .sort();
const mode = process.argv.includes('--check') ? ['--dry-run', '-Werror'] : ['-i'];
const {status, error} = spawnSync(getNativeBinary(), [...mode, ...files], {cwd: ROOT, stdio: 'inherit'});
if (error) throw error;
process.exitCode = status ?? 1;
