/** A program that continues its argument with the embedded pair, sampled with several options, and prints the tokens as JSON. */
import {load, type GenerateOptions} from '../../src/index.js';

const SAMPLED = {temperature: 0.9, topK: 100, topP: 0.95, maxNewTokens: 16};
const WAYS: GenerateOptions[] = [
  {draft: false, seed: 1},
  {verification: 'dense', gamma: 4, seed: 2},
  {verification: 'dense', gamma: 'adaptive', seed: 2 ** 40 + 3},
  {verification: 'sparse', p: 0.8, recent: 4, granularity: 'head', seed: 4},
  {verification: 'refresh', p: 0.6, recent: 4, refreshEvery: 2, gamma: 3, seed: 5},
];

async function main(prompt: string): Promise<void> {
  const lm = await load();
  const answers: number[][] = [];
  for (const way of WAYS) answers.push((await lm.generate(prompt, {...SAMPLED, ...way})).tokens);
  lm.dispose();
  console.log(JSON.stringify(answers));
}

void main(process.argv[2]);
