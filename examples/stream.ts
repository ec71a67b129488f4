// Prints a text piece by piece while it is written, and ends it after a third of a second.
// Run: npm run build && node dist/examples/stream.js [PROMPT]
import * as specattn from 'specattn';

async function main(): Promise<void> {
  const prompt = process.argv[2] ?? 'It was a dark and stormy night;';
  const lm = await specattn.load();
  process.stdout.write(prompt);
  for await (const piece of lm.stream(prompt, {
    maxNewTokens: 2000,
    temperature: 0.7,
    signal: AbortSignal.timeout(333),
  })) {
    process.stdout.write(piece);
  }
  process.stdout.write('\n');
  lm.dispose();
}

void main();
