/** The command `specattn generate`: continues a text or answers a message. */
import {Command, Option} from 'commander';

import type {ChatMessage, GenerateOptions, GenerateStats, LoadOptions} from '../index.js';
import {resolveOptions} from '../options.js';
import {PASSAGE, PASSAGE_TEMPERATURE} from '../report/built_in_passage.js';
import {dim, EXIT_INTERRUPTED, printJson, say, withInterrupt, withProgress} from './terminal.js';
import {isInputPiped, readStandardInput, readText} from './texts.js';
import {collect, gamma, number, UsageError, wholeNumber} from './values.js';

/** How many characters of a long prompt, its last ones, are shown before the continuation. */
const SHOWN_PROMPT = 1200;

type Flags = Omit<LoadOptions, 'draft'> &
  Omit<GenerateOptions, 'draft'> & {
    draft?: string | false;
    file?: string;
    json?: boolean;
    chat?: boolean;
    system?: string;
  };

export function generateCommand(): Command {
  const help = Object.entries({
    'Models:': [
      new Option(
        '--draft <dir>',
        'Hugging Face folder of the draft (default: the embedded one for the embedded verifier, else none)',
      ),
      new Option('--no-draft', 'plain decoding, one token a step'),
      new Option('--verifier <dir>', 'Hugging Face folder of the verifier (default: the embedded one)'),
      new Option(
        '--layer-map <file>',
        'layer map: which attention of the draft selects keys for each verifier layer (default: beside the verifier)',
      ),
      new Option('--dtype <type>', 'storage of weights and caches (default: auto, as in the file)').choices([
        'auto',
        'float32',
        'bfloat16',
        'float16',
      ]),
      new Option(
        '--context-length <n>',
        'positions that the caches hold: the tokens of prompt and text together, minus one',
      ).argParser(wholeNumber),
      new Option(
        '--backend <name>',
        'TensorFlow.js backend: specattn, tensorflow (tfjs-node), wasm or cpu (default: specattn where it is built)',
      ),
    ],
    'Verification:': [
      new Option('--verification <mode>', 'what the verifier reads of its cache').choices([
        'dense',
        'sparse',
        'refresh',
      ]),
      new Option('--p <mass>', "share of the draft's attention that the kept keys hold, in (0, 1]").argParser(
        number,
      ),
      new Option('--gamma <n>', 'drafted tokens a round, or `adaptive`').argParser(gamma),
      new Option('--refresh-every <n>', 'rounds between dense passes, with --verification refresh').argParser(
        wholeNumber,
      ),
      new Option('--sinks <n>', 'first keys that are always kept').argParser(wholeNumber),
      new Option('--recent <n>', 'last keys that are always kept').argParser(wholeNumber),
      new Option('--dense-layers <n>', 'first verifier layers that read every key').argParser(wholeNumber),
      new Option(
        '--union <rows>',
        'which keys a row of the block sees: those chosen in the steps up to its own, in its own step, or in all steps',
      ).choices(['causal', 'row', 'full']),
      new Option('--granularity <unit>', 'choose keys for each layer, or for each key/value head').choices([
        'layer',
        'head',
      ]),
    ],
    'Sampling:': [
      new Option('--temperature <t>', '0 takes the likeliest token').argParser(number),
      new Option('--top-k <k>', 'keep the k likeliest tokens; 0: all').argParser(wholeNumber),
      new Option('--top-p <mass>', 'keep the likeliest tokens that hold this mass').argParser(number),
      new Option('--min-p <share>', 'keep tokens at least this likely, relative to the likeliest').argParser(
        number,
      ),
      new Option('--seed <n>', 'the same seed gives the same text again').argParser(wholeNumber),
    ],
    'Text:': [
      new Option('--file <file>', 'read the prompt from a file; -: standard input'),
      new Option('--chat', 'the prompt is a message to a chat model: its chat template is used'),
      new Option('--system <text>', 'with --chat: a system message before the prompt'),
      new Option('--max-new-tokens <n>', 'stop after this many tokens').argParser(wholeNumber),
      new Option('--stop <text>', 'stop before this text; may be given again').argParser(collect),
      new Option('--json', 'print one JSON object: text, tokens, finishReason, stats'),
    ],
  });
  const {seed: _drawn, ...defaults} = resolveOptions() as unknown as Record<string, unknown>;
  const command = new Command('generate')
    .summary('continue a text')
    .description(
      `Continues a text: the argument, a file (--file), or what is piped to the command. Without any of them it continues a built-in passage, at temperature ${PASSAGE_TEMPERATURE}.`,
    )
    .argument('[prompt]', 'text to continue; - reads standard input');
  for (const [group, options] of help) {
    for (const option of options) {
      const value = defaults[option.attributeName()];
      if (typeof value === 'number' || typeof value === 'string')
        option.description += ` (default: ${value})`;
      command.addOption(option.helpGroup(group));
    }
  }
  return command.action(generate);
}

async function generate(argument: string | undefined, flags: Flags): Promise<void> {
  const {draft, verifier, layerMap, dtype, contextLength, backend, file, json, chat, system, ...options} =
    flags;
  if (argument !== undefined && file !== undefined) throw new UsageError('give a prompt or --file, not both');
  checkOptions(options);
  if (system !== undefined && !chat) throw new UsageError('--system needs --chat');
  const prompt = await readPrompt(argument, file);

  if (chat && prompt === PASSAGE) throw new UsageError('--chat needs a message: give a prompt or --file');
  const messages: ChatMessage[] = [
    ...(system === undefined ? [] : [{role: 'system', content: system}]),
    {role: 'user', content: prompt},
  ];

  if (prompt === PASSAGE) options.temperature ??= PASSAGE_TEMPERATURE;

  const {load} = await import('../index.js');
  const lm = await withProgress((onProgress) =>
    load({
      draft: draft === false ? null : draft,
      verifier,
      layerMap,
      dtype,
      contextLength,
      backend,
      onProgress,
    }),
  );
  try {
    // The prompt is shown with the first piece, so that a prompt which is refused is not shown at all.
    let shown = false;
    const show = (piece: string) => {
      if (!shown) showPrompt(chat ? `${prompt}\n` : prompt);
      shown = true;
      process.stdout.write(piece);
    };
    const onText = json ? undefined : show;
    const result = await withInterrupt((signal) =>
      lm.generate(chat ? messages : prompt, {...options, onText, signal}),
    );
    if (json) {
      printJson(result);
    } else {
      process.stdout.write('\n');
      say(dim(summary(result.stats)));
    }
    if (result.finishReason === 'aborted') process.exitCode = EXIT_INTERRUPTED;
  } finally {
    lm.dispose();
  }
}

/** The prompt: given as an argument, in a file, or piped to the command; without any of them the built-in passage. */
async function readPrompt(argument: string | undefined, file: string | undefined): Promise<string> {
  const source = argument === '-' ? '-' : file;
  if (source !== undefined) return readText(source);
  if (argument !== undefined) return argument;
  const piped = isInputPiped()
    ? await readStandardInput('specattn: reading the prompt from standard input, which has not ended yet')
    : '';
  return piped === '' ? PASSAGE : piped;
}

/** Shows the prompt on standard error. On a terminal the text continues on the same line. */
function showPrompt(prompt: string): void {
  const shown = prompt.length > SHOWN_PROMPT ? `…${prompt.slice(-SHOWN_PROMPT)}` : prompt;
  process.stderr.write(dim(shown) + (process.stdout.isTTY && process.stderr.isTTY ? '' : '\n'));
}

/** Refuses values out of range before any model is loaded. */
function checkOptions(options: GenerateOptions): void {
  try {
    resolveOptions(options);
  } catch (error) {
    throw new UsageError((error as Error).message, {cause: error});
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** The line that is printed after a text. */
export function summary(stats: GenerateStats): string {
  const parts = [`${stats.newTokens} tokens`, `${stats.tokensPerSecond.toFixed(1)} tokens/s`];
  if (stats.drafted > 0) {
    parts.push(
      `acceptance ${percent(stats.acceptance)}`,
      `mean accepted length ${stats.meanAcceptedLength.toFixed(2)}`,
      `KV reduction ${percent(stats.kvReduction)}`,
    );
  }
  return [...parts, stats.device].join(' | ');
}
