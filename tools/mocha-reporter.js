// Mocha's spec reporter, closed by one plain line that tools can read: `12 passed, 0 failed, 1 skipped`. The same line goes
// to build/test-result.txt, for `.ci/run`, since the coverage table follows it on the terminal; `--reporter-option result=FILE` names another.
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
