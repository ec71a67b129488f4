// Streams a text and stops it after two seconds. Run: npm run build && node dist/examples/stream.js [PROMPT]
import * as specattn from 'specattn';

async function main(): Promise<void> {
  const prompt = process.argv[2] ?? 'It was a dark and stormy night;';
  const lm = await specattn.load();
  process.stdout.write(prompt);
  for await (const piece of lm.stream(prompt, {maxNewTokens: 400, signal: AbortSignal.timeout(2000)})) {
    process.stdout.write(piece);
  }
  process.stdout.write('\n');
  lm.dispose();
}

void main();
