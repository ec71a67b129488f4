import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import fs from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

import * as ops from '../../ops/index.js';
import {forEachBackend} from '../backends.js';

const FOLDER = path.join(__dirname, '..', '..', '..', 'ops');

/** The snippets of each file's docstrings. */
const snippets = fs
  .readdirSync(FOLDER)
  .filter((file) => file.endsWith('.ts'))
  .flatMap((file) =>
    [...fs.readFileSync(path.join(FOLDER, file), 'utf8').matchAll(/^ \* ```ts\n([^]*?)^ \* ```$/gm)].map(
      ([, snippet]) => ({file, code: snippet.replace(/^ \* ?/gm, '')}),
    ),
  );

/** Numbers to six digits, and what is 0 but for rounding as 0. */
function rounded(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rounded);
  return typeof value === 'number' ? (Math.abs(value) < 1e-7 ? 0 : Number(value.toPrecision(6))) : value;
}

/** Bools as `print` shows them. */
const printed = (value: unknown): unknown => (Array.isArray(value) ? value.map(printed) : Boolean(value));

/** Runs a snippet with `x.print(); // [[1, 2]]: why` as comparisons; returns how many there were. */
function run(code: string): number {
  let compared = 0;
  const compare = (tensor: tf.Tensor, comment: string): void => {
    const [value] = /^\[.*\]/.exec(comment) ?? expect.fail(`no value in: ${comment}`);
    const actual: unknown = tensor.arraySync();
    expect(rounded(tensor.dtype === 'bool' ? printed(actual) : actual)).to.deep.equal(
      rounded(JSON.parse(value)),
    );
    compared++;
  };
  const body = code.replace(
    /^(.*)\.print\(\); \/\/ (.*)$/gm,
    (_, tensor: string, expected: string) => `compare(${tensor}, ${JSON.stringify(expected)});`,
  );
  const {outputText} = ts.transpileModule(body, {compilerOptions: {target: ts.ScriptTarget.ES2022}});
  // eslint-disable-next-line @typescript-eslint/no-implied-eval
  const snippet = new Function('tf', 'compare', ...Object.keys(ops), outputText) as (
    ...args: unknown[]
  ) => void;
  snippet(tf, compare, ...Object.values(ops));
  return compared;
}

forEachBackend('Docstrings', () => {
  it('are there for every op', () => {
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
