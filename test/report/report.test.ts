/** Tests of `report` with made-up data: every number on the page comes from the data, and figures without data are named. */
import * as fs from 'node:fs';
import * as path from 'node:path';

import {expect} from 'chai';

import {report} from '../../src/index.js';
import {onBackend} from '../backends.js';
import {newFolder} from '../decoding/models.js';
import {ALL, BENCH, GPU_BENCH, LAYER_MAP, PASSKEYS, RESULTS, tablesOf, writeFiles} from './made.js';

/** A report of these files. The made-up layer map belongs to no pair here, so that no model runs. */
async function reportOf(files: Parameters<typeof writeFiles>[1]) {
  const dir = newFolder();
  writeFiles(dir, {map: LAYER_MAP, ...files});
  const made = await report(dir);
  return {...made, dir, html: fs.readFileSync(made.page, 'utf8')};
}

onBackend('specattn', 'report', () => {
  it('draws every figure that has its data', async () => {
    const {dir, page, figures, missing, html} = await reportOf(ALL);
    expect(page).to.equal(path.join(dir, 'report.html'));
    expect(figures.map((file) => path.relative(path.join(dir, 'figures'), file))).to.have.members([
      'divergence.svg',
      'mask-time-cpu-1.svg',
      'mask-time-gpu-32.svg',
      'attention-speedup-cpu-embedded-verifier.svg',
      'attention-speedup-gpu-llama-2-7b.svg',
      'perplexity.svg',
      'passkeys-name-1.svg',
      'passkeys-name-2.svg',
      'throughput-cpu.svg',
      'throughput-gpu.svg',
    ]);
    for (const file of figures)
      expect(fs.readFileSync(file, 'utf8'), file).to.match(/^<svg [^]*<title>[^]*<\/svg>\n$/);
    expect(html.match(/<figure/g)).to.have.length(figures.length);
    expect([...html.matchAll(/<section id="([\w-]+)"/g)].map(([, id]) => id)).to.deep.equal([
      ...['perplexity', 'passkeys', 'throughput', 'attention-speedup', 'mask-time', 'divergence', 'missing'],
    ]);
    const ids = [...html.matchAll(/<[^>]* id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids)).to.have.property('size', ids.length);
    for (const [, id] of html.matchAll(/="url\(#([^)]+)\)"/g)) expect(ids).to.include(id);
    expect(missing.map(({figure}) => figure)).to.deep.equal(['What the verifier reads of a passage']);
    expect(missing[0].reason).to.include('the map is of another model');
  });

  it('writes the numbers of the data and no others', async () => {
    const tables = tablesOf((await reportOf(ALL)).html);
    expect(tables).to.deep.equal({
      'The map, KL in nats': [
        ['verifier layer', 'draft layer', 'KL', 'least KL of a layer'],
        ['0', '0', '0.125', '0.125'],
        ['1', '0', '0.500', '0.438'],
        ['2', '1', '0.250', '0.250'],
      ],
      'CPU, µs': [
        ['rows × keys', 'NucleusMask', 'Float32Array.sort'],
        ['1 × 2K', '9.25', '110'],
        ['1 × 8K', '31', '545'],
      ],
      'GPU, µs': [
        ['rows × keys', 'NucleusMask', 'torch.sort in a CUDA graph'],
        ['32 × 2K', '4.79', '53.6'],
        ['32 × 8K', '8.59', '129'],
      ],
      'CPU, embedded verifier, 5 rows: µs, and times as fast as dense, by the share of keys read': [
        ['keys', 'dense', '31%', '22%'],
        ['4K', '280', '140 (2.00 ×)', '87.5 (3.20 ×)'],
      ],
      'GPU, llama-2-7b, 5 rows: µs, and times as fast as dense, by the share of keys read': [
        ['keys', 'dense', '22%', '5%'],
        ['8K', '60', '24 (2.50 ×)', '15 (4.00 ×)'],
      ],
      'results.jsonl': [
        [
          'method',
          'perplexity',
          'change',
          '±',
          'keys not read',
          'in all layers',
          'bytes not read',
          'same token',
          'windows',
          'tokens',
        ],
        ['dense', '20.000', '+0.00%', '', '0.0%', '0.0%', '0.0%', '100.0%', '8', '14,752'],
        ['specattn:p=0.9', '21.250', '+6.25%', '1.23%', '67.1%', '50.3%', '45.0%', '87.6%', '8', '14,752'],
        ['specattn:p=0.95', '20.500', '+2.50%', '0.51%', '51.2%', '38.4%', '33.0%', '92.1%', '8', '14,752'],
        ['specattn:p=0.95,union=full', '20.400', '', '', '49.0%', '', '', '', '', ''],
        ['streaming:budget=256', '19.900', '−0.50%', '', '77.4%', '', '', '', '8', '14,752'],
      ],
      'passkey.jsonl': [
        ['method', 'key', 'tokens', 'at 0%', 'at 50%', 'at 100%', 'found'],
        ['dense', 'name', '512', '10 of 10', '10 of 10', '10 of 10', '100%'],
        ['dense', 'name', '2,048', '10 of 10', '10 of 10', '10 of 10', '100%'],
        ['streaming:budget=0.2', 'name', '512', '0 of 10', '5 of 10', '10 of 10', '50%'],
        ['streaming:budget=0.2', 'name', '2,048', '0 of 10', '4 of 10', '9 of 10', '43%'],
      ],
      'CPU, tokens a second (against plain)': [
        ['tokens of context', '8', '1,901'],
        ['plain', '1,500 (1.00 ×)', '521 (1.00 ×)'],
        ['dense, gamma 2', '1,900 (1.27 ×)', '778 (1.48 ×)'],
        ['dense, gamma 4', '2,240 (1.49 ×)', '954 (1.85 ×)'],
      ],
      'CPU, drafts accepted, keys of sparse layers not read': [
        ['tokens of context', '8', '1,901'],
        ['plain', '0%, 0%', '0%, 0%'],
        ['dense, gamma 2', '87%, 0%', '82%, 0%'],
        ['dense, gamma 4', '77%, 0%', '80%, 0%'],
      ],
      'GPU, ms a round': [
        ['verification', 'context', 'all', 'draft', 'select', 'verify', 'accept', 'faster than dense'],
        ['dense', '2K', '10.12', '4.47', '0.00', '5.62', '0.02', '1.00 ×'],
        ['sparse 22%', '2K', '10.21', '4.78', '0.03', '5.37', '0.02', '0.99 ×'],
        ['dense', '32K', '17.65', '', '', '', '', '1.00 ×'],
        ['sparse 22%', '32K', '13.89', '', '', '', '', '1.27 ×'],
      ],
    });
  });

  const opening = (html: string) => {
    const verdict = /<p class="verdict">(.*?)<\/p>/.exec(html)![1];
    const facts = [...html.matchAll(/<dt>(.*?)<\/dt><dd>(.*?)<\/dd>/g)].map(([, name, text]) => [name, text]);
    return {verdict, facts};
  };
  const today = ['Page drawn', new Date().toISOString().slice(0, 10)];

  it('begins with what sparse verification costs, and with what it was measured', async () => {
    const run = {pair: 'D for V', machine: 'a machine', date: '2026-11-29'};
    const {html} = await reportOf({...ALL, run});
    expect(opening(html)).to.deep.equal({
      verdict: 'The verifier with specattn:p=0.95 read 38% fewer keys for +2.5% perplexity.',
      facts: [
        ['Results', 'D for V; a machine; 2026-11-29'],
        ['Times on a CPU', 'a CPU, 2 threads; 24 GB; Node v20.20.2'],
        ['Times on a GPU', 'a GPU; 24 GB; Node v20.20.2'],
        today,
      ],
    });
    expect(html.indexOf('class="verdict"')).to.be.below(html.indexOf('<nav'));
  });

  it('begins with what there is, where there is less', async () => {
    const old = await reportOf({
      results: [RESULTS[0], {method: 'quest:budget=9', perplexity: 21, kvReduction: -0.02}],
    });
    expect(opening(old.html)).to.deep.equal({
      verdict:
        'The verifier with quest:budget=9 read 2% more keys of the sparse layers for +5.0% perplexity.',
      facts: [['Results', 'pair, machine and date were not recorded'], today],
    });
    expect(opening((await reportOf({bench: BENCH})).html).verdict).to.equal(
      'After 1,901 tokens dense, gamma 4 writes 1.85 times as many tokens a second as plain decoding.',
    );
    expect(opening((await reportOf({})).html).verdict).to.match(/^The folder has no results of evaluate/);
    const lone = await reportOf({results: [{method: 'specattn:p=0.9', perplexity: 21, kvReduction: 0.5}]});
    expect(opening(lone.html).verdict).to.equal(
      'The verifier with specattn:p=0.9 read 50% fewer keys of the sparse layers for a perplexity of 21.00.',
    );
  });

  it('explains only what is drawn, and leaves out columns without a number', async () => {
    const results = [RESULTS[0], {method: 'specattn:p=0.9', perplexity: 21, change: 0.05, kvReduction: 0.5}];
    const {html} = await reportOf({results});
    expect(html).not.to.match(/oracle|Bars are|A line joins|±/);
    expect(tablesOf(html)['results.jsonl'][0]).to.include('change').and.not.include('±');
    const all = [...results, {method: 'specattn:p=0.8', perplexity: 22, changeError: 0.01, kvReduction: 0.6}];
    const more = await reportOf({
      results: [...all, {method: 'oracle:p=0.9', perplexity: 20.5, kvReduction: 0.6}],
    });
    expect(more.html).to.match(/A line joins .* Bars are .* The oracle computes/);
    expect(tablesOf(more.html)['results.jsonl'][0]).to.include('±');
  });

  it('names figures without data, and the commands that make the data', async () => {
    const {missing, html, figures} = await reportOf({});
    expect(figures.map((file) => path.basename(file))).to.deep.equal(['divergence.svg']);
    const commands = missing.map(({command}) => command);
    for (const part of [
      'run --silent bench >',
      'run --silent bench:gpu >',
      'evaluate --texts',
      '--contexts',
      'specattn report DIR',
    ])
      expect(
        commands.some((command) => command.includes(part)),
        part,
      ).to.be.true;
    expect(missing).to.have.length(8);
    for (const {figure} of missing) expect(html).to.include(`<li>${figure}`);
  });

  it('draws a panel for each run, and leaves out lines of other kinds', async () => {
    const dir = newFolder();
    writeFiles(dir, {
      results: [...RESULTS, {task: 'passkey', method: 'dense', length: 512, correct: 3, total: 4}],
      map: LAYER_MAP,
    });
    writeFiles(path.join(dir, 'with mixture'), {
      results: [RESULTS[0], {method: 'h2o:budget=9', perplexity: 90.5, kvReduction: 0.9}],
    });
    const {page, figures} = await report(dir, {out: path.join(dir, 'page')});
    expect(page).to.equal(path.join(dir, 'page', 'report.html'));
    expect(figures.map((file) => path.basename(file))).to.include.members([
      'perplexity.svg',
      'perplexity-with-mixture.svg',
    ]);
    const tables = tablesOf(fs.readFileSync(page, 'utf8'));
    expect(tables['results.jsonl']).to.have.length(1 + RESULTS.length);
    expect(tables['with mixture'].at(-1)!.slice(0, 2)).to.deep.equal(['h2o:budget=9', '90.500']);
  });

  it('escapes texts from the data', async () => {
    const evil = `</title></svg><script>alert(1)</script><img src=x onerror=alert(1)>"'&\u0001]]>{{datum}}`;
    const {html, figures} = await reportOf({
      results: [...RESULTS, {method: `${evil}:p=0.9,x=${evil}`, perplexity: 22, kvReduction: 0.3}],
      passkeys: [{...PASSKEYS[0], method: evil, key: `../${evil}`}],
      bench: {
        ...BENCH,
        machine: {...BENCH.machine, device: evil},
        decode: BENCH.decode.map((row) => ({...row, mode: `${evil} ${row.mode}`})),
      },
      gpu: {
        ...GPU_BENCH,
        peers: {machine: evil},
        sections: [
          {
            rows: [
              {id: 'mask/1x64', us: 1, peerUs: {[evil]: 2}},
              {id: `round/${evil}/64`, us: 3},
            ],
          },
          {
            rows: [
              {id: `attention/${evil}/dense/5x64`, us: 2},
              {id: `attention/${evil}/sparse 5%/5x64`, us: 1},
            ],
          },
        ],
      },
    });
    for (const text of [html, ...figures.map((file) => fs.readFileSync(file, 'utf8'))]) {
      expect(text).not.to.match(/<script|<img|onerror=alert\(1\)>/);
      expect(text).not.to.include('\u0001');
    }
    expect(html).to.include('&lt;script&gt;alert(1)&lt;/script&gt;');
    for (const file of figures) expect(path.dirname(file)).to.match(/figures$/);
  });

  const refused: [string, string, string, string][] = [
    [
      'a line that is not JSON',
      'results.jsonl',
      '{"method":"dense"}\n{"meth',
      'results.jsonl: line 2 must be JSON',
    ],
    ['a line that is no object', 'results.jsonl', '[]\n', 'line 1 must be a JSON object'],
    [
      'a bench that was cut off',
      'bench.json',
      '> specattn\n{"machine":',
      'bench.json: must hold what the bench printed',
    ],
    ['a bench without its JSON', 'bench-gpu.json', 'bench:gpu: no GPU\n', 'bench-gpu.json: must hold what'],
    [
      'a map without rows',
      'layer_map.json',
      '{"layers": [0]}',
      'layer_map.json: kl must be a list of lists of numbers but is missing',
    ],
    [
      'a map of other lengths',
      'layer_map.json',
      '{"layers":[0],"kl":[[1],[2]],"text":{"rows":1,"window":1}}',
      'for each of 2 verifier layers',
    ],
  ];
  for (const [what, name, content, message] of refused) {
    it(`refuses ${what}`, async () => {
      const dir = newFolder();
      fs.writeFileSync(path.join(dir, name), content);
      const error = await report(dir).then(
        () => undefined,
        (error: Error) => error,
      );
      expect(error?.message).to.include(message);
      expect(fs.existsSync(path.join(dir, 'report.html'))).to.be.false;
    });
  }

  it('refuses a missing folder and a missing pair', async () => {
    const refusal = (work: Promise<unknown>) =>
      work.then(
        () => 'accepted',
        (error: Error) => error.message,
      );
    expect(await refusal(report('nowhere'))).to.equal(
      "[report] dir must be a folder but there is none at 'nowhere'",
    );
    const dir = newFolder();
    expect(await refusal(report(dir, {verifier: 'nowhere'}))).to.include("there is no folder 'nowhere'");
  });
});
