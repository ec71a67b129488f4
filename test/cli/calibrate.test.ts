import * as path from 'node:path';

import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {monotoneMap, readLayerMap} from '../../models/layer_map.js';
import {Llama} from '../../models/llama/llama.js';
import {LlamaTokenizer} from '../../models/hf/tokenizer.js';
import {packageRoot} from '../../backend/addon.js';
import {calibrate} from '../../src/calibration/calibrate.js';
import {divergenceSums} from '../../src/calibration/divergence_sums.js';
import {PASSAGE} from '../../src/report/built_in_passage.js';
import {SAME_BITS_ROWS, forEachBackend} from '../backends.js';

const PAIR = path.join(packageRoot, 'models', 'pretrained');
/** Constants of src/calibration: the least value of a weight in a logarithm, and the first rows of a window, which are not compared. */
const SMALLEST = 1e-8;
const FIRST_ROWS = 16;

/** The divergence by its definition, in float64. */
function divergence(a: Float32Array, b: Float32Array): number {
  const log = (x: number) => Math.log(Math.max(x, SMALLEST));
  return a.reduce((sum, weight, n) => sum + weight * (log(weight) - log(b[n])), 0);
}

forEachBackend('divergenceSums', () => {
  it('equals the definition, zeros included', () => {
    const rows = (sources: number, seed: number) => {
      const x = tf.softmax(tf.mul(tf.randomNormal([sources, 3, 7], 0, 1, 'float32', seed), 5));
      return tf.mul(x, tf.cast(tf.greater(x, 0.01), 'float32')); // some weights are 0, like those past a row's position
    };
    const [v, d] = [rows(4, 1), rows(2, 2)];
    const got = divergenceSums(tf.reshape(v, [4, 21]), tf.reshape(d, [2, 21])).arraySync();
    const source = (x: tf.Tensor, i: number) => (x.dataSync() as Float32Array).slice(i * 21, (i + 1) * 21);
    for (let j = 0; j < 4; j++) {
      for (let i = 0; i < 2; i++)
        expect(got[j][i]).to.be.closeTo(divergence(source(v, j), source(d, i)), 1e-4);
    }
  });
});

forEachBackend('calibrate', function () {
  let pair: {draft: Llama; verifier: Llama; tokenizer: LlamaTokenizer};
  const text = PASSAGE.slice(0, 170);

  before(async function () {
    this.timeout(60_000);
    const [draft, verifier] = [
      await Llama.load(path.join(PAIR, 'draft')),
      await Llama.load(path.join(PAIR, 'verifier')),
    ];
    pair = {draft, verifier, tokenizer: LlamaTokenizer.load(path.join(PAIR, 'verifier'))};
    await calibrate(pair, [text], {window: 24, rows: 1}); // makes the constants of the graphs, which the models keep
  });
  after(() => {
    pair?.draft.dispose();
    pair?.verifier.dispose();
  });

  /** Attention of every layer over one window: [T,C], or [H,T,C] by head. A row has the same bits in any block of up to this size. */
  function attention(model: Llama, tokens: number[], granularity: 'layer' | 'head'): Float32Array[] {
    return tf.tidy(() => {
      const layers = [...Array(model.config.numHiddenLayers).keys()];
      const blocks: tf.Tensor[][] = [];
      let cache = model.newCache(tokens.length);
      for (let from = 0; from < tokens.length; from += SAME_BITS_ROWS) {
        const result = model.forward({
          tokens: tf.tensor1d(tokens.slice(from, from + SAME_BITS_ROWS), 'int32'),
          position: tf.tensor1d([from], 'int32'),
          cache,
          outputs: ['attentionRows'],
          attention: {granularity, layers},
        });
        blocks.push(result.attentionRows!);
        cache = result.cache;
      }
      const axis = granularity === 'head' ? 1 : 0;
      const ofLayer = (i: number) =>
        tf.concat(
          blocks.map((block) => block[i]),
          axis,
        );
      return layers.map((i) => ofLayer(i).dataSync() as Float32Array);
    });
  }

  it('gives the mean divergence of each pair of layers, the map, and the closest heads', async function () {
    this.timeout(120_000);
    const tokens = pair.tokenizer.encode(text);
    expect(tokens.length).to.be.within(FIRST_ROWS + 21, FIRST_ROWS + SAME_BITS_ROWS);
    const map = await calibrate(pair, [text], {window: tokens.length});
    const {draft, verifier} = pair;
    const [C, rows] = [tokens.length, tokens.length - FIRST_ROWS];
    expect(map.text).to.deep.equal({rows, window: C});
    expect(map.draft.config).to.equal(draft.config.sha256);
    expect(map.verifier.config).to.equal(verifier.config.sha256);

    const compared = (weights: Float32Array) => weights.slice(FIRST_ROWS * C);
    const [v, d] = [attention(verifier, tokens, 'layer'), attention(draft, tokens, 'layer')];
    map.kl.forEach((row, j) =>
      row.forEach((kl, i) =>
        expect(kl).to.be.closeTo(divergence(compared(v[j]), compared(d[i])) / rows, 2e-4),
      ),
    );
    expect(map.layers).to.deep.equal(monotoneMap(map.kl));

    const [vHeads, dHeads] = [attention(verifier, tokens, 'head'), attention(draft, tokens, 'head')];
    const head = (layer: Float32Array, h: number) => compared(layer.slice(h * C * C, (h + 1) * C * C));
    const layer = 3;
    for (let h = 0; h < verifier.config.numAttentionHeads; h++) {
      const kl = Array.from({length: draft.config.numAttentionHeads}, (_, i) =>
        divergence(head(vHeads[layer], h), head(dHeads[map.layers[layer]], i)),
      );
      expect(kl[map.heads[layer][h]]).to.be.closeTo(Math.min(...kl), 1e-2);
    }
  });

  it('finds combinations of heads that are closer than any draft layer', async function () {
    this.timeout(120_000);
    const map = await calibrate(pair, [text], {window: 64});
    if (map.kind !== 'mixture') return expect.fail(`a mixture is the default but the kind is ${map.kind}`);
    const {draft, verifier} = pair;
    expect(readLayerMap(map, draft.config, verifier.config)).to.deep.equal(map);
    map.mixture.kl.forEach((kl, layer) => expect(kl).to.be.within(0, Math.min(...map.kl[layer])));

    const heads = await calibrate(pair, [text], {window: 64, own: false});
    if (heads.kind !== 'mixture') return expect.fail(heads.kind);
    for (const {own} of [...heads.mixture.layers, ...heads.mixture.groups.flat()]) expect(own).to.equal(0);
    map.mixture.kl.forEach((kl, layer) => expect(kl).to.be.at.most(heads.mixture.kl[layer] + 0.01));

    const paper = await calibrate(pair, [text], {window: 64, map: 'kl'});
    const {mixture: _found, ...rest} = map;
    expect(paper).to.deep.equal({...rest, kind: 'kl'});
  });

  it('compares at most the number of rows asked for, over several windows, and reports its progress', async function () {
    this.timeout(120_000);
    const seen: Record<string, number[]> = {};
    const map = await calibrate(pair, [text, text], {
      window: 24,
      rows: 20,
      onProgress: ({what, loaded, total}) => {
        seen[what] = [loaded, total];
      },
    });
    expect(map.text).to.deep.equal({rows: 20, window: 24});
    expect(seen.calibrating).to.deep.equal([20, 20]);
    expect(seen.fitting[0]).to.equal(seen.fitting[1]);
  });

  it('refuses windows that do not fit, texts without rows, and an aborted signal', async () => {
    const refused = async (texts: string[], options: Parameters<typeof calibrate>[2], message: string) => {
      const error = await calibrate(pair, texts, options).then(
        () => undefined,
        (error: Error) => error,
      );
      expect(error?.message).to.include(message);
    };
    await refused(
      [text],
      {window: 5000},
      '[calibrate] window must be a whole number from 17 to 4096 but is 5000',
    );
    await refused([text], {window: 16}, 'but is 16');
    await refused([text], {rows: 0}, '[calibrate] rows must be a whole number >= 1 but is 0');
    await refused([text], {map: 'sum' as 'kl'}, '[calibrate] map must be one of kl, mixture but is "sum"');
    await refused(
      [text],
      {slak: false} as object,
      "[calibrate] there is no option 'slak'; the options are map",
    );
    await refused([text], {own: 1 as unknown as boolean}, '[calibrate] own must be true or false but is 1');
    await refused(
      text as unknown as string[],
      {},
      '[calibrate] texts must be a list of one or more, each a text, but is "',
    );
    await refused(['Too short.'], {}, 'must have more than 16 tokens');
    await refused([text], {signal: AbortSignal.abort()}, 'aborted');
  });
});
