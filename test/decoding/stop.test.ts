import {expect} from 'chai';
import * as fc from 'fast-check';

import {SpecialStops, StopWatch} from '../../src/decoding/stop.js';

/** The text that a StopWatch shows of `pieces`, and whether it found a stop text. */
function watch(pieces: string[], stops: string[]): {text: string; stopped: boolean} {
  const watch = new StopWatch(stops);
  const text = pieces.map((piece) => watch.push(piece)).join('') + watch.flush();
  return {text, stopped: watch.stopped};
}

/** The definition: the text ends where the stop text begins that is complete first, the longest one of several. */
function cut(text: string, stops: string[]): {text: string; stopped: boolean} {
  for (let end = 1; end <= text.length; end++) {
    const complete = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    if (complete.length)
      return {text: text.slice(0, end - Math.max(...complete.map(({length}) => length))), stopped: true};
  }
  return {text, stopped: false};
}

describe('StopWatch', () => {
  it('shows all text if there are no stop texts', () => {
    expect(watch(['a', '', 'bc'], [])).to.deep.equal({text: 'abc', stopped: false});
  });

  it('cuts off a stop text that spans pieces, and the text after it', () => {
    expect(watch(['one\n', '\nQ', ': two', ' three'], ['\n\nQ:'])).to.deep.equal({
      text: 'one',
      stopped: true,
    });
  });

  it('holds back only text that may become a stop text', () => {
    const watch = new StopWatch(['abc', 'bd']);
    expect(['x', 'a', 'b', 'a', 'y', 'ab'].map((piece) => watch.push(piece))).to.deep.equal([
      'x',
      '',
      '',
      'ab',
      'ay',
      '',
    ]);
    expect(watch.flush()).to.equal('ab');
    expect(watch.flush()).to.equal('');
  });

  it('takes the stop text that is complete first, the longer one if two end together', () => {
    expect(watch(['abcd'], ['bcd', 'c'])).to.deep.equal({text: 'ab', stopped: true});
    expect(watch(['abcd'], ['c', 'bc'])).to.deep.equal({text: 'a', stopped: true});
  });

  it('shows the same text however it is divided into pieces', () => {
    const letters = fc.string({unit: fc.constantFrom('a', 'b', 'c'), maxLength: 24});
    const stops = fc.array(fc.string({unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 5}), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(letters, stops, fc.array(fc.nat(24), {maxLength: 8}), (text, stops, cuts) => {
        const ends = [...cuts.filter((at) => at <= text.length), text.length].sort((a, b) => a - b);
        const pieces = ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end));
        expect(watch(pieces, stops)).to.deep.equal(cut(text, stops));
      }),
      {numRuns: 2000},
    );
  });
});

describe('SpecialStops', () => {
  const special = new Map([
    [7, '<|eot|>'],
    [8, '<|eot|>x'],
    [9, '<s>'],
  ]);

  /** What is shown of an answer, whose tokens are ids of special tokens and texts, and whether it stopped. */
  function answer(tokens: (number | string)[], given: string[]): {text: string; stopped: boolean} {
    const stops = new SpecialStops(given, special);
    const watch = new StopWatch(stops.stops);
    const shown = tokens.map((token) =>
      watch.push(typeof token === 'number' ? (stops.markOf(token) ?? '') : token),
    );
    return {text: stops.withoutMarks(shown.join('') + watch.flush()), stopped: watch.stopped};
  }

  it('stop at a special token, at its text among other tokens, and at texts around it', () => {
    expect(answer(['Hi', 7, 'x'], ['<|eot|>'])).to.deep.equal({text: 'Hi', stopped: true});
    expect(answer(['Hi<|e', 'ot|> x'], ['<|eot|>'])).to.deep.equal({text: 'Hi', stopped: true});
    expect(answer(['Hi', 7, '🦙', '\n', 7, 'x'], ['\n<|eot|>'])).to.deep.equal({text: 'Hi🦙', stopped: true});
    expect(answer(['Hi', 8], ['<|eot|>x'])).to.deep.equal({text: 'Hi', stopped: true});
  });

  it('leave out special tokens where they do not stop', () => {
    expect(answer(['a', 7, 'b\n', 9, 'c\n'], ['\n<|eot|>'])).to.deep.equal({text: 'ab\nc\n', stopped: false});
    expect(answer(['a', 9, 'b'], ['ab'])).to.deep.equal({text: '', stopped: true});
    expect(new SpecialStops([], special).markOf(7)).to.equal(undefined);
  });
});
