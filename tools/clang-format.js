// Formats the native sources with clang-format (style: .clang-format); with --check only says which are not formatted.
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
