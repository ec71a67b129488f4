/**
 * `node tools/write_passages.js` (after a build) writes test/data/passage_*.txt: prose in the style of old books, which
 * the embedded verifier generates from fixed seeds. Tests, benches and calibration need long texts, and these have no
 * human author.
 */
'use strict';

const {writeFileSync} = require('node:fs');
const path = require('node:path');
const specattn = require('..');

const OPENINGS = [
  'CHAPTER I.\n\nThe house stood at the end of the village, where the road went down to the river,',
  'It was late in the autumn when we came within sight of the coast, and the captain',
  'My father was a man of few words, and when I told him that I meant to leave for the city he',
];

async function main() {
  const lm = await specattn.load();
  for (const [i, opening] of OPENINGS.entries()) {
    const {text} = await lm.generate(opening, {
      maxNewTokens: 2400,
      verification: 'dense',
      temperature: 0.8,
      topP: 0.95,
      seed: i,
    });
    const file = path.join(__dirname, '..', 'test', 'data', `passage_${i + 1}.txt`);
    writeFileSync(file, `${opening}${text}\n`);
    console.error(`${file}: ${opening.length + text.length} characters`);
  }
  lm.dispose();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
