// Mocha's spec reporter with one more line at the end that programs can read: `12 passed, 0 failed, 1 skipped`. The
// line is also written to build/test-result.txt (or to FILE with `--reporter-option result=FILE`), because on the
// terminal a coverage table follows. `.ci/run` reads that file.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const {reporters} = require('mocha');

const RESULT = path.join(__dirname, '..', 'build', 'test-result.txt');

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    this.result = options.reporterOptions?.result ?? RESULT;
  }

  epilogue() {
    super.epilogue();
    const {passes, failures, pending} = this.stats;
    const line = `${passes} passed, ${failures} failed${pending ? `, ${pending} skipped` : ''}`;
    fs.mkdirSync(path.dirname(this.result), {recursive: true});
    fs.writeFileSync(this.result, `${line}\n`);
    console.log(line);
  }
};
