/** Runs a few cases of every fuzz target; `npm run test:fuzz` runs many. */
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {fuzz} from './target.js';
import {TARGETS, casesOf, missing} from './targets/index.js';

const CASES = 1000;
const seed = Number(process.env.SPECATTN_TEST_SEED ?? Date.now() % 1e9);

describe(`hostile input (SPECATTN_TEST_SEED=${seed})`, function () {
  this.timeout(300_000); // enough for a busy machine
  let backend: string | undefined;
  before(() => (backend = tf.getBackend()));
  after(async () => {
    if (backend) await tf.setBackend(backend);
  });

  for (const target of TARGETS) {
    const reason = missing(target);
    const run = reason === undefined ? it : it.skip;
    run(
      `${target.name}: accepted, or refused by name${reason === undefined ? '' : ` (${reason})`}`,
      async () => {
        const {failure} = await fuzz(target, {cases: casesOf(target, CASES), seed});
        expect(failure).to.equal(undefined);
      },
    );
  }
});
