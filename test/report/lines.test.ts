/** Tests of charts: points are drawn at their coordinates, and labels do not overlap. */
import {expect} from 'chai';
import * as fc from 'fast-check';

import {textWidth} from '../../src/report/svg.js';
import {placeLabels} from '../../src/report/labels.js';
import {around, fromZero, logarithmic} from '../../src/report/axes.js';
import {drawLines, drawPanel, type Chart} from '../../src/report/lines.js';

const CHART: Chart = {
  title: 'a chart',
  description: 'two lines',
  x: {title: 'keys', scale: 'log', domain: [100, 10000], ticks: [100, 1000, 10000]},
  y: {title: 'µs', scale: 'linear', domain: [0, 10]},
  series: [
    {
      name: 'first',
      colour: '#0072b2',
      points: [
        {x: 100, y: 2},
        {x: 1000, y: 4, error: 1},
        {x: 10000, y: 8, label: 'p 0.9'},
      ],
    },
    {name: 'second', colour: '#d55e00', points: [{x: 1000, y: 10}]},
  ],
  reference: {y: 5, name: 'dense'},
  margin: 80,
  size: {width: 200, height: 100},
};

/** Places of the marks of a colour, in pixels of the plot. */
function dots(svg: string, colour: string): [number, number][] {
  const mark = RegExp(
    `<path transform="translate\\(([-\\d.]+),([-\\d.]+)\\)" d="[^"]*" fill="${colour}"`,
    'g',
  );
  return [...svg.matchAll(mark)].map(([, x, y]) => [Math.round(Number(x)), Math.round(Number(y))]);
}

describe('a chart of lines', () => {
  it('draws points at their coordinates', async () => {
    const svg = await drawLines(CHART);
    expect(dots(svg, '#0072b2')).to.deep.equal([
      [0, 80],
      [100, 60],
      [200, 20],
    ]);
    expect(dots(svg, '#d55e00')).to.deep.equal([[100, 0]]);
    for (const word of ['a chart', 'two lines', 'keys', 'µs', 'first', 'second', 'dense', 'p 0.9', '>1,000<'])
      expect(svg).to.include(word);
  });

  it('takes the colours of text and background from the page', async () => {
    const svg = await drawLines(CHART);
    expect(svg).to.include('fill="currentColor"');
    expect(svg).not.to.match(/(fill|stroke)="(#000|black|#fff|white)"/);
  });

  it('is drawn for the width of a page, and for narrow windows with the names in a list', async () => {
    const widthOf = (svg: string) => Number(/ width="([\d.]+)"/.exec(svg)![1]);
    const place = (svg: string, name: string) =>
      new RegExp(`translate\\((-?[\\d.]+),(-?[\\d.]+)\\)[^>]*>${name}<`).exec(svg)!.slice(1).map(Number);
    for (const [span, width] of [
      ['page', 1080],
      ['half', 520],
    ] as const) {
      const {svg, narrow} = await drawPanel('a', CHART, span);
      expect(widthOf(svg)).to.be.within(0.85 * width, 1.05 * width);
      expect(widthOf(narrow!)).to.be.within(300, 350);
      for (const {name} of CHART.series) {
        expect(svg).to.include(`>${name}</text>`);
        expect(place(narrow!, name)[0], 'under the plot, at its left').to.equal(27);
        expect(place(narrow!, name)[1]).to.be.above(260);
      }
    }
  });

  it('refuses what cannot be drawn', async () => {
    const refusal = (chart: Chart) =>
      drawLines(chart).then(
        () => 'accepted',
        (error: Error) => error.message,
      );
    expect(await refusal({...CHART, series: []})).to.include('must have points in every line');
    const series = [{name: 'bad', colour: '#000', points: [{x: 1, y: NaN}]}];
    expect(await refusal({...CHART, series})).to.include("must have finite points in 'bad'");
  });

  it('has axes that hold all values', () => {
    const values = fc.array(fc.double({min: 1e-6, max: 1e9, noNaN: true}), {minLength: 1});
    fc.assert(
      fc.property(values, (values) => {
        for (const [low, high] of [fromZero(values), around(values), logarithmic(values).domain]) {
          expect(low).to.be.at.most(Math.min(...values));
          expect(high).to.be.at.least(Math.max(...values));
          expect(high).to.be.above(low);
        }
        expect(logarithmic(values).ticks.length).to.be.at.most(30);
      }),
    );
    expect(fromZero([0])).to.deep.equal([0, 1]);
    expect(fromZero([970])).to.deep.equal([0, 1000]);
    expect(logarithmic([3, 720], 1.4).ticks).to.deep.equal([5, 10, 20, 50, 100, 200, 500, 1000]);
  });
});

describe('labels', () => {
  const place = fc.record({x: fc.integer({min: 0, max: 300}), y: fc.integer({min: 0, max: 200})});
  const room = {left: 0, right: 420, top: 0, bottom: 200};

  it('never overlap, and include the names of all lines while there is room', () => {
    const names = fc.array(place, {minLength: 1, maxLength: 7});
    const others = fc.array(place, {maxLength: 20});
    fc.assert(
      fc.property(names, others, (names, others) => {
        const labels = [
          ...names.map((at, i) => ({...at, text: `line ${i}`, required: true})),
          ...others.map((at) => ({...at, text: 'p 0.95', required: false})),
        ];
        const placed = placeLabels(labels, [...names, ...others], [], room);
        expect(placed.filter(({text}) => text.startsWith('line'))).to.have.length(names.length);
        const boxes = placed.map(({x, y, text, align}) => {
          const left = x - (align === 'left' ? 0 : align === 'right' ? 1 : 0.5) * textWidth(text);
          return {left, right: left + textWidth(text), y};
        });
        boxes.forEach((a, i) =>
          boxes.slice(0, i).forEach((b) => {
            const apart = a.right <= b.left || b.right <= a.left || Math.abs(a.y - b.y) >= 12;
            expect(apart, JSON.stringify([placed[i], a, b])).to.be.true;
          }),
        );
      }),
    );
  });
});
