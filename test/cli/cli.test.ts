import {spawn, spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {expect} from 'chai';

import {packageRoot} from '../../backend/addon.js';
import {missing} from '../backends.js';
import {linkModel, replaceFile} from '../decoding/models.js';
import {RESULTS, writeFiles} from '../report/made.js';

const BIN = path.join(packageRoot, 'bin', 'specattn.js');
const GREEDY = ['--temperature', '0', '--max-new-tokens', '24'];
const PROMPT = 'The captain looked at the sea and';

interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
}

function specattn(args: string[], options: {env?: NodeJS.ProcessEnv; input?: string} = {}): Run {
  const {status, stdout, stderr} = spawnSync(process.execPath, [BIN, ...args], {
    encoding: 'utf8',
    input: options.input,
    env: {...process.env, ...options.env},
  });
  return {status, stdout, stderr};
}

/** The output of a run with `--json`, which must be exactly one JSON object. */
function json(args: string[], options?: Parameters<typeof specattn>[1]): any {
  const {status, stdout, stderr} = specattn([...args, '--json'], options);
  expect(status, stderr).to.equal(0);
  expect(stdout.trimEnd().split('\n')).to.have.length(1);
  return JSON.parse(stdout);
}

describe('specattn', function () {
  this.timeout(120_000);
  let folder: string;

  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-cli-'));
  });
  after(() => fs.rmSync(folder, {recursive: true, force: true}));

  it('--help names every command', () => {
    const {status, stdout} = specattn(['--help']);
    expect(status).to.equal(0);
    for (const command of [
      'generate',
      'calibrate',
      'evaluate',
      'report',
      'export',
      'doctor',
      'install-tensorflow',
    ])
      expect(stdout).to.match(RegExp(`^  ${command}`, 'm'));
  });

  describe('refuses what it does not understand, with exit code 2', () => {
    const cases: [string, string[], string][] = [
      ['an unknown command', ['speculate'], "unknown command 'speculate'"],
      ['an unknown option', ['generate', '--gama', '4'], "unknown option '--gama'\n(Did you mean --gamma?)"],
      [
        'a text that is not a number',
        ['generate', '--p', 'most'],
        "argument 'most' is invalid. It must be a number.",
      ],
      [
        'a fractional number of tokens',
        ['generate', '--max-new-tokens', '1.5'],
        'It must be a whole number.',
      ],
      [
        'an unknown mode',
        ['generate', '--verification', 'fast'],
        'Allowed choices are dense, sparse, refresh.',
      ],
      ['p outside (0, 1]', ['generate', '--p', '1.5'], '1.5'],
      ['gamma below 1', ['generate', '--gamma', '0'], 'gamma'],
      ['a prompt and a file', ['generate', 'Once', '--file', 'x.txt'], 'give a prompt or --file, not both'],
      ['a chat without a message', ['generate', '--chat'], '--chat needs a message: give a prompt or --file'],
      [
        'a system message without a chat',
        ['generate', 'Once', '--system', 'Be brief.'],
        '--system needs --chat',
      ],
      ['a second prompt', ['generate', 'Once', 'upon'], 'too many arguments'],
      ['no text', ['calibrate'], "required option '--text <files...>' not specified"],
      ['nothing to evaluate', ['evaluate'], "required option '--texts <paths...>' not specified"],
      ['an unknown method', ['evaluate', '--texts', '.', '--method', 'h2o'], 'method must be one of dense'],
      ['nothing to report', ['report'], "missing required argument 'dir'"],
      [
        'an option of another task',
        ['evaluate', '--texts', '.', '--task', 'passkey', '--window', '512'],
        '--window is an option of --task perplexity, not of passkey',
      ],
      ['half an export', ['export', 'somewhere'], "missing required argument 'out'"],
    ];
    for (const [what, args, message] of cases) {
      it(what, () => {
        const {status, stdout, stderr} = specattn(args);
        expect(stderr).to.include(message);
        expect(stderr).not.to.match(/^ {4}at /m);
        expect(stdout).to.equal('');
        expect(status).to.equal(2);
      });
    }
  });

  it('prints an error in one line, with exit code 1, and a stack trace only with SPECATTN_DEBUG', () => {
    const args = ['generate', PROMPT, '--verifier', path.join(folder, 'nowhere')];
    const {status, stdout, stderr} = specattn(args);
    expect(status).to.equal(1);
    expect(stdout).to.equal('');
    expect(stderr).to.match(/^specattn: .*nowhere.*\n$/);
    expect(specattn(args, {env: {SPECATTN_DEBUG: '1'}}).stderr).to.match(/^ {4}at /m);
  });

  describe('generate', () => {
    it('answers a message with the chat template of the model, which is required', () => {
      const refused = specattn(['generate', PROMPT, '--chat']);
      expect(refused.status).to.equal(1);
      expect(refused.stderr).to.include('has no chat template (chat_template.jinja, or chat_template in');
      const verifier = linkModel(path.join(packageRoot, 'models', 'pretrained', 'verifier'));
      replaceFile(
        verifier,
        'chat_template.jinja',
        "{{ bos_token }}{% for message in messages %}{{ message['content'] + ' ' }}{% endfor %}",
      );
      const pair = ['--verifier', verifier, '--draft', 'pretrained'];
      const answer = json(['generate', PROMPT, '--chat', '--system', 'Once.', ...pair, ...GREEDY]);
      expect(answer.tokens).to.deep.equal(json(['generate', `Once. ${PROMPT} `, ...pair, ...GREEDY]).tokens);
    });

    it('prints one JSON object', () => {
      const result = json(['generate', PROMPT, ...GREEDY]);
      expect(result).to.have.keys(['text', 'tokens', 'finishReason', 'stats']);
      expect(result.tokens).to.have.length(24);
      expect(result.finishReason).to.equal('length');
      expect(result.stats.newTokens).to.equal(24);
    });

    it('streams the same text to standard output, and closes with one line of summary', () => {
      const {text} = json(['generate', PROMPT, ...GREEDY]);
      const {status, stdout, stderr} = specattn(['generate', PROMPT, ...GREEDY]);
      expect(status).to.equal(0);
      expect(stdout).to.equal(`${text}\n`);
      expect(stderr).to.match(
        /24 tokens \| [\d.]+ tokens\/s \| acceptance [\d.]+% \| mean accepted length [\d.]+ \| KV reduction [\d.]+% \| .+\n$/,
      );
    });

    it('gives the same greedy tokens with dense verification, without a draft, and with every key kept', () => {
      const run = (...args: string[]) => json(['generate', PROMPT, ...GREEDY, ...args]).tokens;
      const plain = run('--no-draft');
      expect(run('--verification', 'dense')).to.deep.equal(plain);
      expect(run('--verification', 'sparse', '--p', '1')).to.deep.equal(plain);
    });

    // The context is short, because wasm and cpu copy a whole cache to write a row of it.
    for (const backend of ['tensorflow', 'wasm', 'cpu'] as const) {
      const reason = backend === 'wasm' ? undefined : missing(backend);
      (reason ? it.skip : it)(
        `gives the same greedy tokens in float32 on the backend ${backend}${reason ? ` (${reason})` : ''}`,
        () => {
          const args = ['generate', PROMPT, '--temperature', '0', '--context-length', '64'];
          const run = (...more: string[]) =>
            json([
              ...args,
              '--max-new-tokens',
              '16',
              '--verification',
              'dense',
              '--dtype',
              'float32',
              ...more,
            ]);
          const {tokens, stats} = run('--backend', backend);
          expect(stats.device).to.include(`tfjs backend '${backend}'`);
          expect(stats.drafted).to.be.greaterThan(0);
          expect(tokens).to.deep.equal(run().tokens);
        },
      );
    }

    it('reads the prompt from a file or from standard input', () => {
      const file = path.join(folder, 'prompt.txt');
      fs.writeFileSync(file, PROMPT);
      const {tokens} = json(['generate', PROMPT, ...GREEDY]);
      expect(json(['generate', '--file', file, ...GREEDY]).tokens).to.deep.equal(tokens);
      expect(json(['generate', '--file', '-', ...GREEDY], {input: PROMPT}).tokens).to.deep.equal(tokens);
    });

    it('stops before a stop text, and repeats itself with a seed', () => {
      const {text} = json(['generate', PROMPT, ...GREEDY]);
      const stop = text.slice(10, 14);
      const stopped = json(['generate', PROMPT, ...GREEDY, '--stop', 'not to be found', '--stop', stop]);
      expect(stopped.finishReason).to.equal('stop');
      expect(stopped.text).to.equal(text.slice(0, text.indexOf(stop)));
      const sample = () =>
        json(['generate', PROMPT, '--temperature', '1', '--seed', '7', '--max-new-tokens', '16']).text;
      expect(sample()).to.equal(sample());
    });

    it('ends at Ctrl-C with what was written and the summary', async function () {
      if (process.platform === 'win32') this.skip();
      const child = spawn(process.execPath, [BIN, 'generate', PROMPT, '--max-new-tokens', '3000']);
      let stdout = '';
      let stderr = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        if (stdout === '') child.kill('SIGINT');
        stdout += text;
      });
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      const status = await new Promise((resolve) => child.on('close', resolve));
      expect(status).to.equal(130);
      expect(stdout).to.match(/\S[^]*\n$/);
      const written = /(\d+) tokens \| .*\n$/.exec(stderr);
      expect(Number(written?.[1])).to.be.within(1, 2000);
    });

    it('ends silently when the reader of its output goes away', function () {
      if (process.platform === 'win32') this.skip();
      const command = `"${process.execPath}" "${BIN}" generate "${PROMPT}" --max-new-tokens 400 | head -c 8`;
      const {stdout, stderr} = spawnSync('sh', ['-c', command], {encoding: 'utf8'});
      expect(stdout).to.have.length(8);
      expect(stderr).not.to.include('EPIPE');
    });
  });

  it('calibrate writes the layer map, its picture, and one JSON object', () => {
    const [text, out, svg] = ['text.txt', 'map.json', 'map.svg'].map((name) => path.join(folder, name));
    fs.writeFileSync(
      text,
      'It was a dark and stormy night, and the rain fell upon the roof of the old house. '.repeat(12),
    );
    const map = json(['calibrate', '--text', text, '--window', '128', '--out', out]);
    expect(JSON.parse(fs.readFileSync(out, 'utf8'))).to.deep.equal(map);
    expect(fs.readFileSync(svg, 'utf8')).to.match(/^<svg /);
    // `generate` reads the map that was written.
    const {stats} = json(['generate', PROMPT, ...GREEDY, '--verification', 'sparse', '--layer-map', out]);
    expect(stats.newTokens).to.equal(24);
  });

  it('report draws a folder as a page, and names figures without data', () => {
    const dir = path.join(folder, 'to report');
    const out = path.join(dir, 'page');
    writeFiles(dir, {results: RESULTS});
    const {page, figures, missing} = json(['report', dir, '--out', out, '--p', '0.8']);
    expect(page).to.equal(path.join(out, 'report.html'));
    const names = figures.map((file: string) => path.relative(path.join(out, 'figures'), file));
    expect(names).to.include.members(['divergence.svg', 'perplexity.svg', 'kept-keys-layers.svg']);
    expect(fs.readFileSync(page, 'utf8')).to.include('p = 0.8');
    expect(missing.map((one: {figure: string}) => one.figure)).to.include('End to end, by context, on a CPU');
    const {status, stdout, stderr} = specattn(['report', dir, '--out', out]);
    expect([status, stdout]).to.deep.equal([0, '']);
    expect(stderr)
      .to.include('not drawn: ')
      .and.to.include('npm run --silent bench')
      .and.to.match(/pictures written\n$/);
  });

  it('evaluate --task passkey prints one line of JSON for each method, length and depth, writes its folder, and computes nothing twice', () => {
    const out = path.join(folder, 'passkeys');
    const text = path.join(packageRoot, 'test', 'data', 'passage_1.txt');
    const args = [
      'evaluate',
      '--task',
      'passkey',
      '--texts',
      text,
      '--out',
      out,
      '--method',
      'dense',
      'specattn:p=0.9',
    ];
    args.push('--keys', 'name', '--lengths', '160', '192', '--trials', '1');
    const {status, stdout, stderr} = specattn([...args, '--json']);
    expect(status, stderr).to.equal(0);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, number | string>);
    expect(lines).to.have.length(2 * 5 * 2);
    for (const [i, {task, method, key, length, correct, total}] of lines.entries()) {
      expect({task, key, total}).to.deep.equal({task: 'passkey', key: 'name', total: 1});
      expect(method).to.equal(i % 2 ? 'specattn:p=0.9' : 'dense');
      expect(length).to.equal(i < 10 ? 160 : 192);
      expect(correct).to.be.within(0, 1);
    }
    const read = (name: string) => fs.readFileSync(path.join(out, name), 'utf8');
    expect(read('passkey.jsonl')).to.equal(stdout);
    const table = specattn(args);
    expect(table.status, table.stderr).to.equal(0);
    expect(read('passkey.jsonl')).to.equal(stdout);
    expect(table.stdout).to.equal(read('passkey.md'));
    expect(table.stdout.trimEnd().split('\n')).to.have.length(2 + 2 * 2);
  });

  it('evaluate prints one line of JSON for each method, writes its folder, and computes nothing twice', () => {
    const texts = path.join(folder, 'texts');
    const out = path.join(folder, 'evaluation');
    fs.mkdirSync(texts);
    fs.copyFileSync(path.join(packageRoot, 'test', 'data', 'passage_1.txt'), path.join(texts, 'passage.txt'));
    fs.writeFileSync(path.join(texts, 'notes.md'), 'Not a text.');
    const methods = ['dense', 'specattn:p=0.8', 'quest:budget=64', 'streaming:budget=64', 'oracle:p=0.8'];
    methods.push('random:budget=64');
    const args = ['evaluate', '--texts', texts, '--window', '128', '--windows', '2', '--method', ...methods];
    const {status, stdout, stderr} = specattn([...args, '--out', out, '--json']);
    expect(status, stderr).to.equal(0);
    const lines = stdout.trimEnd().split('\n');
    const results = lines.map((line) => JSON.parse(line) as Record<string, number | string>);
    expect(results.map(({method}) => method)).to.deep.equal(methods);
    for (const {perplexity, kvReduction, windows} of results) {
      expect(perplexity).to.be.within(2, 200);
      expect(kvReduction).to.be.within(0, 1);
      expect(windows).to.equal(2);
    }
    const read = (name: string) => fs.readFileSync(path.join(out, name), 'utf8');
    expect(read('results.jsonl')).to.equal(stdout);
    const records = read('windows.jsonl');
    expect(records.trimEnd().split('\n')).to.have.length(2 * methods.length);

    const table = specattn([...args, '--out', out]);
    expect(table.status, table.stderr).to.equal(0);
    expect(read('windows.jsonl')).to.equal(records);
    expect(read('results.jsonl')).to.equal(stdout);
    expect(table.stdout).to.equal(read('results.md'));
    const rows = table.stdout.trimEnd().split('\n');
    expect(new Set(rows.map((row) => row.length)).size).to.equal(1);
    expect(rows.slice(2).map((row) => row.split('|')[1].trim())).to.deep.equal(methods);
  });

  it('export writes a GraphModel', () => {
    const out = path.join(folder, 'exported');
    const {status, stderr} = specattn(['export', path.join(packageRoot, 'models/pretrained/draft'), out]);
    expect(status, stderr).to.equal(0);
    expect(JSON.parse(fs.readFileSync(path.join(out, 'model.json'), 'utf8')).format).to.equal('graph-model');
  });

  it('doctor reports what was found, and what to do about the rest', () => {
    const report = json(['doctor']);
    expect(report.node).to.equal(process.version);
    expect(report.pretrained.found).to.equal(true);
    expect(report.tensorflow).to.match(
      missing('tensorflow') ? /^(not there, and not needed|composed ops): / : /^TensorFlow \d+\.\d+\.\d+; /,
    );
    const without = specattn(['doctor'], {env: {SPECATTN_DEVICE: 'none'}});
    expect(without.status).to.equal(0);
    expect(without.stdout).to.include('runs on        tfjs-backend-cpu (composed ops)');
    expect(without.stdout).to.match(/Possible solutions:\n- unset SPECATTN_DEVICE \(now none\)/);
    // `load` refuses an unknown device, so nothing runs. A compiler is not proposed, because the addon is built.
    const unknown = specattn(['doctor'], {env: {SPECATTN_DEVICE: 'tpu'}}).stdout;
    expect(unknown).to.match(/runs on {8}nothing: .*tpu/);
    expect(unknown).to.include('- unset SPECATTN_DEVICE (now tpu)').and.not.to.include('install g++');
  });

  it('prints in one line why the native device does not start', () => {
    const {status, stderr} = specattn(['generate', 'It was'], {env: {SPECATTN_THREADS: 'many'}});
    expect(status).to.equal(1);
    expect(stderr.trim().split('\n')).to.have.lengthOf(1);
    expect(stderr).to.include("SPECATTN_THREADS must be a whole number from 1 to 1024 but is 'many'");
  });
});
