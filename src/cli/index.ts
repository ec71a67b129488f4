/** The command line of `specattn`. Results go to standard output, messages for people to standard error. */
import {readFileSync} from 'node:fs';
import * as path from 'node:path';

import {Command, CommanderError} from 'commander';

import {packageRoot} from '../../backend/addon.js';
import {calibrateCommand} from './calibrate.js';
import {doctorCommand} from './doctor.js';
import {evaluateCommand} from './evaluate.js';
import {exportCommand} from './export.js';
import {generateCommand} from './generate.js';
import {installTensorFlowCommand} from './install_tensorflow/index.js';
import {reportCommand} from './report.js';
import {EXIT_INTERRUPTED, ignoreBrokenPipes, say} from './terminal.js';
import {UsageError} from './values.js';

const EXIT_RUNTIME = 1;
const EXIT_USAGE = 2;

function version(): string {
  const manifest = readFileSync(path.join(packageRoot, 'package.json'), 'utf8');
  return (JSON.parse(manifest) as {version: string}).version;
}

function program(): Command {
  const program = new Command('specattn')
    .description('Speculative decoding with sparse verification for TensorFlow.js.')
    .version(version(), '-V, --version')
    .showHelpAfterError('(try `specattn --help`)')
    .enablePositionalOptions() // options after a command's name, --version among them, belong to that command
    .exitOverride();
  const commands = [
    generateCommand(),
    calibrateCommand(),
    evaluateCommand(),
    reportCommand(),
    exportCommand(),
    doctorCommand(),
    installTensorFlowCommand(),
  ];
  for (const command of commands) {
    program.addCommand(
      command.exitOverride().showHelpAfterError(`(try \`specattn ${command.name()} --help\`)`),
    );
  }
  return program;
}

/**
 * Runs one command line and sets the exit code: 1 where the work failed, 2 where the command line is wrong, 130 after
 * Ctrl-C.
 * @param args the arguments after `specattn`
 */
export async function main(args: string[]): Promise<void> {
  ignoreBrokenPipes();
  try {
    await program().parseAsync(args, {from: 'user'});
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has already printed its message or the help.
      process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
      return;
    }
    const {name, message, stack} = error as Error;
    say(`specattn: ${process.env.SPECATTN_DEBUG ? (stack ?? message) : message}`);
    process.exitCode =
      error instanceof UsageError ? EXIT_USAGE : name === 'AbortError' ? EXIT_INTERRUPTED : EXIT_RUNTIME;
  }
}
