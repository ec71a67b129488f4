/** What people see: messages and progress on standard error, and a quiet end when a reader goes away. */
import {styleText} from 'node:util';

import {Presets, SingleBar} from 'cli-progress';

/** What a shell reports of a program that Ctrl-C ended. */
export const EXIT_INTERRUPTED = 130;

/** A message for people. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** For what is said beside the text itself; plain where standard error is not a terminal. */
export function dim(text: string): string {
  return process.stderr.isTTY ? styleText('dim', text) : text;
}

/** One JSON value on standard output, and nothing else there. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** `specattn generate | head -1`: when the reader has what it wants, there is nothing left to do or to say. */
export function ignoreBrokenPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  }
}

export interface Step {
  /** What is being done, in a word or two. */
  what: string;
  loaded: number;
  total: number;
}

/** Runs `work` with a progress bar on standard error while that is a terminal; `timeLeft`: for work of minutes. */
export async function withProgress<T>(
  work: (onProgress: (step: Step) => void) => Promise<T> | T,
  {timeLeft = false}: {timeLeft?: boolean} = {},
): Promise<T> {
  if (!process.stderr.isTTY) return work(() => {});
  const bar = new SingleBar(
    {
      stream: process.stderr,
      format: `{what} {bar} {percentage}%${timeLeft ? ' {eta_formatted} left' : ''}`,
      etaBuffer: 500,
      clearOnComplete: true,
      hideCursor: true,
    },
    Presets.shades_classic,
  );
  bar.start(1, 0, {what: ''});
  try {
    return await work(({what, loaded, total}) => {
      bar.setTotal(total);
      bar.update(loaded, {what});
    });
  } finally {
    bar.stop();
  }
}

/** Runs `work` with a signal that the first Ctrl-C aborts; the second one ends the process as ever. */
export async function withInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const interrupt = () => controller.abort();
  process.once('SIGINT', interrupt);
  try {
    return await work(controller.signal);
  } finally {
    process.removeListener('SIGINT', interrupt);
  }
}
