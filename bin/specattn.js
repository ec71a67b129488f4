#!/usr/bin/env node
'use strict';

// The command `specattn`: starts the compiled program, and says what to do where dist/ is missing.

const {existsSync} = require('node:fs');
const path = require('node:path');

const cli = path.join(__dirname, '..', 'dist', 'src', 'cli', 'index.js');
if (existsSync(cli)) {
  require(cli).main(process.argv.slice(2));
} else {
  console.error(
    'specattn: dist/ is not built; run `npm install` or `npm run build:ts` in the project first.',
  );
  process.exitCode = 1;
}
