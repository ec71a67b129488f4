/**
 * Output of the commands: messages and progress bars on standard error, JSON on standard output, and how pipes and
 * Ctrl-C end a command.
 */
import {styleText} from 'node:util';

import {Presets, SingleBar} from 'cli-progress';

/** The exit code of a program that Ctrl-C ended, as shells report it. */
export const EXIT_INTERRUPTED = 130;

/** Prints a message for people to standard error. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Dims a message on a terminal; elsewhere returns it as it is. */
export function dim(text: string): string {
  return process.stderr.isTTY ? styleText('dim', text) : text;
}

/** Prints a JSON value as one line on standard output. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Ends the process quietly when the reader of its output goes away, as in `specattn generate | head -1`. */
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

/**
 * Runs `work` with a progress bar on standard error, where that is a terminal.
 *
 * The bar leaves the terminal's modes alone: it neither hides the cursor nor turns off wrapping (a line that is too
 * long is cut). A signal may end the process at any moment, and then nothing could put the modes back.
 * @param timeLeft whether the bar estimates the remaining time
 */
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
      hideCursor: false,
      linewrap: true,
    },
    Presets.shades_classic,
  );
  const clear = () => bar.stop();
  process.once('exit', clear); // process.exit and uncaught errors
  bar.start(1, 0, {what: ''});
  try {
    return await work(({what, loaded, total}) => {
      bar.setTotal(total);
      bar.update(loaded, {what});
    });
  } finally {
    process.removeListener('exit', clear);
    bar.stop();
  }
}

/** Runs `work` with a signal that the first Ctrl-C aborts. A second Ctrl-C ends the process. */
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
