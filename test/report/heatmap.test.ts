import {expect} from 'chai';

import {heatmap} from '../../src/report/heatmap.js';

const count = (svg: string, pattern: RegExp): number => [...svg.matchAll(pattern)].length;

describe('heatmap', () => {
  const divergence = [
    [0.1, 0.9, 1.5],
    [0.8, 0.2, 1.1],
    [0.9, 0.3, 0.4],
    [1.9, 0.7, 0.25],
  ];

  it('draws every cell, its number, and a box round each cell of the map', async () => {
    const svg = await heatmap(divergence, [0, 1, 1, 2]);
    expect(svg).to.match(/^<svg [^]*<\/svg>$/);
    expect(count(svg, /<path [^>]*fill="rgb\(/g)).to.equal(12);
    expect(count(svg, /<path [^>]*stroke="#e8261c"/g)).to.equal(4);
    for (const value of divergence.flat()) expect(svg).to.include(`>${value.toFixed(2)}<`);
    for (const title of ['draft layer', 'verifier layer', 'KL (nats)']) expect(svg).to.include(title);
  });

  it('boxes the chosen cells and no others', async () => {
    const box = /d="M([\d.]+),([\d.]+)[^"]*" stroke="#e8261c"/g;
    const places = async (map: number[]) =>
      [...(await heatmap(divergence, map)).matchAll(box)].map(([, x, y]) => [Number(x), Number(y)]);
    const first = await places([0, 1, 1, 2]);
    const side = first[1][0] - first[0][0];
    expect(first.map(([x]) => (x - first[0][0]) / side)).to.deep.equal([0, 1, 1, 2]);
    expect(first.map(([, y]) => (y - first[0][1]) / side)).to.deep.equal([0, 1, 2, 3]);
  });

  it('leaves the numbers out of a large map', async () => {
    const large = Array.from({length: 32}, (_, j) =>
      Array.from({length: 22}, (_, i) => Math.abs(j - i) + 0.125),
    );
    const svg = await heatmap(
      large,
      large.map(() => 3),
    );
    expect(count(svg, /<path [^>]*fill="rgb\(/g)).to.equal(32 * 22);
    expect(svg).not.to.include('.13<');
  });

  const refused: [string, number[][], number[], string][] = [
    ['no rows', [], [], '[heatmap] divergence must have at least one row'],
    ['ragged rows', [[1, 2], [3]], [0, 0], 'row 1 of divergence must have 2 columns but has 1'],
    ['a short map', [[1], [2]], [0], 'for each of 2 verifier layers but has 1'],
    ['a layer that is not there', [[1, 2]], [2], 'must be draft layers 0 to 1 but one is 2'],
  ];
  for (const [what, matrix, map, message] of refused) {
    it(`refuses ${what}`, async () => {
      const error = await heatmap(matrix, map).then(
        () => undefined,
        (error: Error) => error,
      );
      expect(error?.message).to.include(message);
    });
  }
});
