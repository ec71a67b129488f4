import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fs from 'node:fs';
import path from 'node:path';

import * as ops from '../../ops/index.js';
import {forEachBackend} from '../backends.js';
import {expectClose} from '../compare.js';

const FOLDER = path.join(__dirname, '..', '..', '..', 'ops');

/** The code snippets in the docstrings of `ops/`. */
const snippets = fs
  .readdirSync(FOLDER)
  .filter((file) => file.endsWith('.ts'))
  .flatMap((file) =>
    [...fs.readFileSync(path.join(FOLDER, file), 'utf8').matchAll(/^ \* ```ts\n([^]*?)^ \* ```$/gm)].map(
      ([, snippet]) => ({file, code: snippet.replace(/^ \* ?/gm, '')}),
    ),
  );

/** The shape of nested lists, which is how `print` shows a tensor. */
const shapeOf = (value: unknown): number[] =>
  Array.isArray(value) ? [value.length, ...shapeOf(value[0])] : [];

/** Runs a snippet in which each `x.print(); // [[1, 2]]: why` becomes a comparison; returns the number of comparisons. */
function run(code: string): number {
  let compared = 0;
  const compare = (tensor: tf.Tensor, comment: string): void => {
    const [value] = /^\[.*\]/.exec(comment) ?? expect.fail(`no value in: ${comment}`);
    const expected = JSON.parse(value) as unknown[];
    const flat = expected.flat(Infinity) as (number | boolean)[];
    expect(tensor.shape).to.deep.equal(shapeOf(expected));
    expect(tensor.dtype === 'bool').to.equal(typeof flat[0] === 'boolean');
    if (tensor.dtype === 'float32') expectClose(tensor.dataSync(), flat.map(Number), {relative: 1e-6});
    else expect([...tensor.dataSync()]).to.deep.equal(flat.map(Number));
    compared++;
  };
  const body = code.replace(
    /^(.*)\.print\(\); \/\/ (.*)$/gm,
    (_, tensor: string, expected: string) => `compare(${tensor}, ${JSON.stringify(expected)});`,
  );
  const untyped = body.replaceAll(/<tf\.Rank\.R\d>/g, ''); // the only type annotations in snippets
  // eslint-disable-next-line @typescript-eslint/no-implied-eval
  const snippet = new Function('tf', 'compare', ...Object.keys(ops), untyped) as (...args: unknown[]) => void;
  snippet(tf, compare, ...Object.values(ops));
  return compared;
}

forEachBackend('Docstrings', () => {
  it('exist for every op', () => {
    const documented = new Set(snippets.map(({file}) => file));
    const opFiles = fs
      .readdirSync(FOLDER)
      .filter((file) => fs.readFileSync(path.join(FOLDER, file), 'utf8').includes('defineOp('));
    expect(opFiles.filter((file) => file !== 'define_op.ts' && !documented.has(file))).to.deep.equal([]);
  });

  for (const {file, code} of snippets) {
    it(`the snippet of ${file} prints what it says`, () => {
      expect(run(code), 'prints compared').to.be.greaterThan(0);
    });
  }
});
