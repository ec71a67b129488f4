/** Tests of `keptKeys`, the keys that the verifier reads, against a float64 reference, and of its pictures. */
import * as path from 'node:path';

import {expect} from 'chai';

import {drawKeptKeys, keptKeys, type KeptKeys} from '../../src/index.js';
import {drawKeptKeysFigure} from '../../src/report/kept_keys.js';
import {decode, everyKey} from '../evaluate/reference.js';
import {forEachBackend} from '../backends.js';
import {passage, refusal, tinyPair, withModel} from '../decoding/models.js';
import {select} from '../reference.js';

const TEXT = passage(1).slice(0, 200);
/** The layers of the tiny pair's layer map. */
const MAP = [0, 0, 1];
/** The first layer that is not dense. */
const SPARSE = 2;

forEachBackend('keptKeys', () => {
  it("lists the keys that each row reads: the union of the draft's nuclei in its block", () =>
    withModel(tinyPair(), async (lm) => {
      const [p, gamma, prompt] = [0.6, 3, 30];
      const seen: number[] = [];
      const onProgress = ({loaded, total}: {loaded: number; total: number}) => seen.push(loaded / total);
      const kept = await keptKeys(lm, TEXT, {p, gamma, prompt, onProgress});
      expect(seen.at(-1)).to.equal(1);
      const tokens = lm.tokenizer.encode(TEXT);
      const {first, sinks, recent} = kept;
      expect([first, kept.p, kept.gamma, sinks, recent]).to.deep.equal([prompt - 1, p, gamma, 4, 16]);
      expect(kept.tokens.join('')).to.equal(lm.tokenizer.decode(tokens));
      expect(kept.tokens).to.have.length(tokens.length);
      expect(kept.denseLayers).to.deep.equal([0, 1]);
      expect(kept.sets.map(({layers}) => layers)).to.deep.equal([[SPARSE]]);

      const {attention} = decode(tinyPair().draft, tokens, everyKey);
      const [{rows}] = kept.sets;
      expect(rows).to.have.length(tokens.length - 1 - first);
      let [read, visible] = [0, 0];
      rows.forEach((row, r) => {
        const position = first + r - (r % (gamma + 1));
        const blockRows = Math.min(gamma + 1, tokens.length - 1 - position);
        const steps = Array.from({length: Math.max(1, blockRows - 1)}, (_, i) => {
          const weights = new Float64Array(tokens.length);
          weights.set(attention[MAP[SPARSE]][position + i]);
          return weights;
        });
        const expected = select(steps, p, position, {sinks, recent, union: 'causal'})[r % (gamma + 1)];
        const found = [...row.keys()].filter((key) => row[key] === 1);
        expect(found, `row ${r}`).to.deep.equal([...expected].sort((a, b) => a - b));
        read += found.length;
        visible += first + r + 1;
      });
      expect(kept.kvReduction).to.be.closeTo(1 - read / visible, 1e-9);
      expect(kept.kvReduction).to.be.within(0.05, 0.95);
    }));

  it('keeps every key at p = 1', () =>
    withModel(tinyPair(), async (lm) => {
      const {sets, first, kvReduction} = await keptKeys(lm, TEXT, {p: 1});
      expect(kvReduction).to.equal(0);
      sets[0].rows.forEach((row, r) => expect(row.reduce((sum, x) => sum + x, 0)).to.equal(first + r + 1));
    }));

  it('refuses arguments that do not fit', async () => {
    const refused = (options: Parameters<typeof keptKeys>[2], text = TEXT) =>
      refusal(() => withModel(tinyPair(), async (lm) => void (await keptKeys(lm, text, options))));
    expect(await refused({p: 1.5})).to.include(
      '[keptKeys] p of specattn must be a number in (0, 1] but is 1.5',
    );
    expect(await refused({gama: 4} as object)).to.include("[keptKeys] there is no option 'gama'");
    expect(await refused({prompt: 0})).to.match(/prompt must be a whole number from 1 to \d+ but is 0/);
    expect(await refused({}, passage(1))).to.match(/text must have 2 to 96 tokens but has \d+/);
    expect(await refused({signal: AbortSignal.abort()})).to.include('aborted');
    const alone = {verifier: tinyPair().verifier};
    expect(await refusal(() => withModel(alone, async (lm) => void (await keptKeys(lm, TEXT))))).to.equal(
      '[keptKeys] the pair must have a draft but has none',
    );
  });
});

describe('pictures of kept keys', () => {
  /** Two sets over six tokens, with rows at positions 2 to 4, one sink and one recent key. */
  const KEPT: KeptKeys = {
    tokens: ['a', ' b', ' c', ' d', ' e', ' f'],
    first: 2,
    ...{p: 0.9, gamma: 4, sinks: 1, recent: 1, kvReduction: 0.25},
    denseLayers: [0],
    sets: [
      {
        layers: [1, 2],
        rows: [
          [1, 1, 1, 0, 0, 0],
          [1, 1, 0, 1, 0, 0],
          [1, 0, 0, 0, 1, 0],
        ].map((row) => Uint8Array.from(row)),
      },
      {
        layers: [3],
        rows: [
          [1, 0, 1, 0, 0, 0],
          [1, 0, 0, 1, 0, 0],
          [1, 0, 1, 1, 1, 0],
        ].map((row) => Uint8Array.from(row)),
      },
    ],
  };
  const paths = (svg: string, fill: string) =>
    [...svg.matchAll(RegExp(`<path [^>]*d="([^"]*)" [^>]*fill="${fill}"`, 'g'))].map(([, path]) => path);

  it('mark each key that a row reads, selected or not', async () => {
    const {rows} = await drawKeptKeys(KEPT);
    expect(rows).to.have.length(2);
    expect(rows[0]).to.include('Layers 1, 2').and.to.include('background:#fff');
    const squares = (path: string) =>
      path
        .split('Z')
        .filter(Boolean)
        .map((part) => part.match(/-?[\d.]+/g)!.map(Number))
        .map(([x, y, , height]) => [x, y, height]);
    // The first colour marks selected keys: key 1 in two rows. The second marks the sink in all rows and the recent key of each row.
    expect(squares(paths(rows[0], '#0072b2')[0])).to.deep.equal([[1, 0, 2]]);
    expect(squares(paths(rows[0], '#8a8a8a')[0])).to.deep.equal([
      [0, 0, 3],
      [2, 0, 1],
      [3, 1, 1],
      [4, 2, 1],
    ]);
    expect(squares(paths(rows[1], '#0072b2')[0])).to.deep.equal([
      [2, 2, 1],
      [3, 2, 1],
    ]);
  });

  it('show shares by layer, and shade the passage', async () => {
    const {layers} = await drawKeptKeys(KEPT);
    // The picture has four layers, and keys 0 to 3, which have later rows.
    expect([...layers.matchAll(/<path [^>]*fill="rgb\(/g)]).to.have.length(4 * 4);
    const {tables, passage: shaded, panels} = await drawKeptKeysFigure(KEPT, 'a pair');
    expect(tables[0].rows).to.deep.equal([
      ['0', '0.0%'],
      ['1, 2', '33.3%'],
      ['3', '33.3%'],
    ]);
    const shades = shaded!.words.map(({shade}) => shade && Number(shade.toFixed(3)));
    // The shade is a mean over the three sparse layers. One of two later rows reads key 2 in layer 3, none in the others: ½ / 3.
    expect(shades).to.deep.equal([1, 0.444, 0.167, 0.333, undefined, undefined]);
    expect(panels.map(({name}) => path.basename(name))).to.deep.equal([
      'kept-keys-layers',
      'kept-keys-rows-1',
      'kept-keys-rows-3',
    ]);
  });
});
