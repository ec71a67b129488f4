import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {oracleSelect} from '../../src/evaluate/oracle_select.js';
import {questSelect} from '../../src/evaluate/quest_select.js';
import type {ListedKeys} from '../../src/evaluate/list_keys.js';
import {forEachBackend} from '../backends.js';

/** The keys of a set that a row sees. */
function seen({keys, bits, counts}: ListedKeys, set: number, row: number): number[] {
  const [k, b, n] = [keys.arraySync()[set], bits.arraySync()[set], counts.arraySync()[set]];
  return k.slice(0, n).filter((_, i) => (b[i] >> row) & 1);
}

/** Keys [1,C,2] along the first axis. */
const along = (xs: number[]) =>
  tf.tensor3d(
    xs.flatMap((x) => [x, 0]),
    [1, xs.length, 2],
  );
const at = (position: number) => tf.tensor1d([position], 'int32');

forEachBackend('QuestSelect', () => {
  it('reads the page of the row, and the best full pages before it', () => {
    const k = along([0, 0, 5, -9, 3, 3, 1, 1, 0, 0, 0, 0]);
    const q = tf.tensor3d([1, 0, -1, 0, 1, 0], [3, 1, 2]); // rows at 7, 8 and 9
    const listed = questSelect(q, k, at(7), {page: 2, budget: 4});
    expect(seen(listed, 0, 0)).to.deep.equal([2, 3, 6, 7]); // page 1 has the highest bound, 5
    expect(seen(listed, 0, 1)).to.deep.equal([2, 3, 8]); // the query is reversed, and the bound of page 1 is 9
    expect(seen(listed, 0, 2)).to.deep.equal([2, 3, 8, 9]);
    expect(listed.kept.arraySync()).to.deep.equal([[4, 3, 4]]);
  });

  it('gives ties to the lower page, and every key to a budget that holds them', () => {
    const [q, k] = [tf.ones<tf.Rank.R3>([1, 1, 2]), tf.ones<tf.Rank.R3>([1, 9, 2])];
    expect(seen(questSelect(q, k, at(8), {page: 2, budget: 6}), 0, 0)).to.deep.equal([0, 1, 2, 3, 8]);
    expect(seen(questSelect(q, k, at(8), {page: 2, budget: 9}), 0, 0)).to.have.length(9);
    expect(seen(questSelect(q, k, at(8), {page: 2, budget: 0.5}), 0, 0)).to.deep.equal([0, 1, 8]);
    expect(seen(questSelect(q, k, at(0), {page: 2, budget: 2}), 0, 0)).to.deep.equal([0]);
  });

  it('chooses for each KV head by its query heads', () => {
    const k = tf.concat([along([1, 0, 0, 0, -1, 0, 0]), along([-1, 0, 0, 0, 1, 0, 0])], 0);
    const q = tf.tensor3d([0, 0, 1, 0, 0, 0, 1, 0], [1, 4, 2]);
    const listed = questSelect(q, k, at(6), {page: 2, budget: 4});
    expect(seen(listed, 0, 0)).to.deep.equal([0, 1, 6]);
    expect(seen(listed, 1, 0)).to.deep.equal([4, 5, 6]);
  });

  it('refuses arguments that do not fit', () => {
    const [q, k] = [tf.ones<tf.Rank.R3>([1, 2, 2]), tf.ones<tf.Rank.R3>([1, 4, 2])];
    expect(() => questSelect(q, k, at(0), {page: 0})).to.throw(
      '[QuestSelect] page must be a whole number of 1 or more but is 0',
    );
    expect(() => questSelect(q, k, at(0), {budget: 0})).to.throw(
      '[QuestSelect] budget must be above 0 but is 0',
    );
    expect(() => questSelect(q, tf.ones([1, 4, 3]), at(0))).to.throw(
      '[QuestSelect] k must have shape [?,?,2] but has [1,4,3]',
    );
    expect(() => questSelect(q, k, tf.tensor1d([0]))).to.throw(
      '[QuestSelect] position must be int32 but is float32',
    );
  });
});

forEachBackend('OracleSelect', () => {
  const k = () => tf.concat([along([9, 0, 0, 0, 0, 0]), along([0, 0, 9, 0, 0, 0])], 0);
  const q = () => tf.ones<tf.Rank.R3>([2, 2, 2]); // rows at 4 and 5; each head sees one key clearly

  it('keeps the nucleus of each head, or of their mean', () => {
    const byHead = oracleSelect(q(), k(), at(4), {p: 0.9, sets: 2});
    expect([seen(byHead, 0, 0), seen(byHead, 1, 1)]).to.deep.equal([[0], [2]]);
    expect(seen(oracleSelect(q(), k(), at(4), {p: 0.9}), 0, 0)).to.deep.equal([0, 2]);
  });

  it('adds sinks and recent keys, and keeps every key for p = 1', () => {
    const listed = oracleSelect(q(), k(), at(4), {p: 0.9, sinks: 2, recent: 2});
    expect([seen(listed, 0, 0), seen(listed, 0, 1)]).to.deep.equal([
      [0, 1, 2, 3, 4],
      [0, 1, 2, 4, 5],
    ]);
    expect(oracleSelect(q(), k(), at(4)).kept.arraySync()).to.deep.equal([[5, 6]]);
  });

  it('refuses arguments that do not fit', () => {
    expect(() => oracleSelect(q(), k(), at(0), {p: 2})).to.throw(
      '[OracleSelect] p must be in (0, 1] but is 2',
    );
    expect(() => oracleSelect(q(), k(), at(0), {sets: 3})).to.throw(
      '[OracleSelect] sets must be 1 or 2 but is 3',
    );
    expect(() => oracleSelect(q(), k(), at(0), {sinks: -1})).to.throw(
      '[OracleSelect] sinks must be an integer of 0 or more but is -1',
    );
  });
});
