/** What a command changes on a terminal is put back, whatever ends it while a model loads. */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';

const SOURCE = path.join(packageRoot, 'test', 'cli', 'terminal.py');
const LOADING = path.join(__dirname, 'loading.js');
const BIN = path.join(packageRoot, 'bin', 'specattn.js');

interface Run {
  output: string;
  /** Whether the terminal's attributes (echo, line mode, ...) are as they were. */
  same: boolean;
  signal: string | null;
  code: number | null;
}

/** Runs `node ...args` several times on a pseudo-terminal. */
function onTerminal(signal: string, runs: number, ms: number, args: string[]): Run[] {
  const {stdout, stderr, status} = spawnSync(
    'python3',
    [SOURCE, signal, String(runs), String(ms), process.execPath, ...args],
    {encoding: 'utf8', env: {...process.env, TERM: 'xterm', SPECATTN_THREADS: '1'}},
  );
  expect(status, stderr).to.equal(0);
  const lines = stdout.trimEnd().split('\n');
  expect(lines).to.have.length(runs);
  return lines.map((line) => JSON.parse(line) as Run);
}

/** Modes of a terminal that are on at first: wrapping and the cursor. */
const ON_AT_FIRST = ['7', '25'];

/** What a terminal that shows `output` is left with: modes that are not as at first, and how text looks. */
function leftWith(output: string): {modes: string[]; look: string[]} {
  const modes = new Map<string, boolean>();
  const look = new Map<string, string>();
  // eslint-disable-next-line no-control-regex
  for (const [, question, numbers, letter] of output.matchAll(/\x1b\[(\??)([\d;]*)([hlm])/g)) {
    if (letter !== 'm') {
      expect(question).to.equal('?');
      modes.set(numbers, letter === 'h');
    } else if (numbers === '' || numbers === '0') {
      look.clear();
    } else if (/^(1|2|22)$/.test(numbers)) {
      if (numbers === '22') look.delete('weight');
      else look.set('weight', numbers);
    } else if (/^([39][0-7]|39)$/.test(numbers)) {
      if (numbers === '39') look.delete('colour');
      else look.set('colour', numbers);
    } else {
      throw new Error(`the sequence ${numbers}${letter} is not known to this test`);
    }
  }
  const changed = [...modes].filter(([mode, on]) => on !== ON_AT_FIRST.includes(mode));
  return {modes: changed.map(([mode]) => mode), look: [...look.values()]};
}

function expectAsBefore({output, same}: Run): void {
  expect(leftWith(output), JSON.stringify(output)).to.deep.equal({modes: [], look: []});
  expect(same, "the terminal's attributes").to.equal(true);
}

describe('a terminal', function () {
  this.timeout(240_000);
  before(function () {
    const python = spawnSync('python3', ['-c', 'import pty, termios']);
    if (process.platform === 'win32' || python.status !== 0) this.skip();
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGKILL']) {
    it(`is as before after ${signal} under a progress bar, 20 times`, () => {
      for (const run of onTerminal(signal, 20, 100, [LOADING, 'wait'])) {
        expect(run.signal).to.equal(signal);
        expectAsBefore(run);
      }
    });
  }

  for (const [way, code] of [
    ['exit', 3],
    ['uncaught error', 1],
    ['unhandled rejection', 1],
    ['error of the work', 1],
  ] as const) {
    it(`is as before after an ${way} under a progress bar, which is cleared`, () => {
      for (const run of onTerminal('none', 3, 0, [LOADING, way])) {
        expect(run.code).to.equal(code);
        expectAsBefore(run);
        // eslint-disable-next-line no-control-regex
        expect(run.output.slice(run.output.lastIndexOf('%'))).to.match(/\x1b\[1G\x1b\[2K/);
      }
    });
  }

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    it(`is as before after ${signal} to generate while it loads or writes`, () => {
      const args = [BIN, 'generate', 'It was', '--max-new-tokens', '2000'];
      for (const run of onTerminal(signal, 4, 400, args)) {
        expect([run.signal, run.code]).to.deep.be.oneOf([
          [signal, null],
          [null, 130], // Ctrl-C ends the text
        ]);
        expectAsBefore(run);
      }
    });
  }

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    it(`is as before after ${signal} while pip downloads, which hides the cursor`, () => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-pip-'));
      try {
        // A pip that draws a bar, and that a signal gives no time to show the cursor again.
        const pip = `#!/bin/sh\ncase "$*" in *--version*) exit;; esac\nprintf '\\033[?25l░'\nexec sleep 30\n`;
        fs.writeFileSync(path.join(folder, 'python3'), pip, {mode: 0o755});
        for (const run of onTerminal(signal, 5, 50, [LOADING, 'pip', folder])) {
          expect(run.output).to.include('\x1b[?25l');
          expect(run.signal).to.equal(signal);
          expectAsBefore(run);
        }
      } finally {
        fs.rmSync(folder, {recursive: true});
      }
    });
  }
});
