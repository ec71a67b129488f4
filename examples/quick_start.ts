// Continues a sentence with the embedded pair of models.
// Run: npm run build && node dist/examples/quick_start.js
import * as specattn from 'specattn';

async function main(): Promise<void> {
  const lm = await specattn.load();
  const out = await lm.generate('The captain looked at the sea and', {
    maxNewTokens: 48,
    verification: 'sparse',
    p: 0.95,
    gamma: 4,
    temperature: 0.7,
    seed: 1,
  });
  console.log(out.text);

  const {tokensPerSecond, acceptance, kvReduction, device} = out.stats;
  console.log(
    `${tokensPerSecond.toFixed(0)} tokens/s on ${device}; ${(100 * acceptance).toFixed(0)}% of the drafts accepted; ` +
      `${(100 * kvReduction).toFixed(0)}% of the keys of sparse layers not read`,
  );
  lm.dispose();
}

void main();
