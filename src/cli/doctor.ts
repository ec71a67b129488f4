/** The command `specattn doctor`: reports which devices and backends work on this machine, and why the others do not. */
import {existsSync, readFileSync} from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import {Command} from 'commander';

import {packageRoot} from '../../backend/addon.js';
import {printJson} from './terminal.js';

interface Report {
  version: string;
  node: string;
  platform: string;
  cpu: string;
  /** What runs the models: a native device, tfjs-backend-cpu, or nothing and why. */
  runsOn: string;
  devices: {name: string; available: boolean; description: string; reason: string}[];
  /** Whether the native kernels run in @tensorflow/tfjs-node or tfjs-node-gpu (the backend `tensorflow`), in words. */
  tensorflow: string;
  /** Why there is no native device. */
  reason?: string;
  /** What to do about it. */
  solutions: string[];
  pretrained: {folder: string; found: boolean};
}

export function doctorCommand(): Command {
  return new Command('doctor')
    .summary('say which devices were found on this machine, and why the others were not')
    .description('Says which devices were found on this machine, and why the others were not.')
    .option('--json', 'print one JSON object')
    .action(async ({json}: {json?: boolean}) => {
      const report = await examine();
      if (json) printJson(report);
      else process.stdout.write(`${inWords(report)}\n`);
      if (!report.pretrained.found) process.exitCode = 1;
    });
}

async function examine(): Promise<Report> {
  const {BACKEND, describeDevices} = await import('../../backend/index.js');
  const tf = await import('@tensorflow/tfjs-core');
  // Only opening a device shows whether it works; describeDevices below reports it if it does not.
  if (describeDevices().device) await tf.setBackend(BACKEND);
  const manifest = JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8')) as {
    version: string;
  };
  const {device, devices, reason} = describeDevices();
  const folder = path.join(packageRoot, 'models', 'pretrained');
  return {
    version: manifest.version,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: `${os.cpus()[0]?.model.trim() ?? 'unknown'}, ${os.availableParallelism()} threads`,
    // `load` refuses a device that was asked for and is missing, so nothing replaces it here either.
    runsOn:
      device ?? (tf.findBackendFactory(BACKEND) ? `nothing: ${reason}` : 'tfjs-backend-cpu (composed ops)'),
    devices,
    tensorflow: await examineTensorFlow(),
    reason,
    solutions: device ? [] : solutions(devices.some(({available}) => available)),
    pretrained: {folder, found: existsSync(path.join(folder, 'verifier', 'config.json'))},
  };
}

async function examineTensorFlow(): Promise<string> {
  const {importBackend} = await import('../../backend/packages.js');
  const {TENSORFLOW, describeTensorFlow} = await import('../../backend/tensorflow.js');
  const missing = importBackend(TENSORFLOW);
  if (missing) return `not there, and not needed: ${missing}`;
  const {version, reason, gpuReason} = describeTensorFlow();
  if (reason) return `composed ops: ${reason}`;
  return `TensorFlow ${version}; ${gpuReason ? `not on its GPU: ${gpuReason}` : 'on its GPU too'}`;
}

/**
 * What may bring a native device.
 * @param built whether there is one that would run
 */
function solutions(built: boolean): string[] {
  const log = path.join(packageRoot, 'build', 'build.log');
  return [
    ...['SPECATTN_DEVICE', 'SPECATTN_THREADS'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [`unset ${name} (now ${value})`];
    }),
    ...(built
      ? []
      : [
          'install g++ 11 and cmake 3.18 or newer, then `npm rebuild specattn` (in a clone: `npm run build:native`)',
          ...(existsSync(log) ? [`read the log of the last build: ${log}`] : []),
        ]),
  ];
}

function inWords(report: Report): string {
  const {devices, reason, pretrained} = report;
  return [
    `specattn ${report.version} on Node ${report.node}, ${report.platform}`,
    `CPU            ${report.cpu}`,
    `runs on        ${report.runsOn}`,
    ...devices.map(
      ({name, available, description, reason}) =>
        `device ${name.padEnd(7)} ${available ? description : `not available: ${reason}`}`,
    ),
    `tensorflow     ${report.tensorflow}`,
    `embedded pair  ${pretrained.found ? pretrained.folder : `missing: expected in ${pretrained.folder}`}`,
    ...(reason ? [`\nNo native device: ${reason}.\nPossible solutions:`] : []),
    ...report.solutions.map((solution) => `- ${solution}`),
  ].join('\n');
}
