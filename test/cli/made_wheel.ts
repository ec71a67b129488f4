/** Writes small wheels and a small tfjs-node with the layout of the real ones, so that installing them takes a second. */
import {execFileSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import {pipeline} from 'node:stream/promises';

import {ZipFile} from 'yazl';

/** Writes a wheel of `files`; `record` may change lines of its RECORD. */
export async function writeWheel(
  file: string,
  distribution: string,
  files: Record<string, Buffer | string>,
  record: (line: string) => string = (line) => line,
): Promise<string> {
  const [, platform] = /-(manylinux\w+)\.whl$/.exec(file) ?? [];
  const distInfo = `${distribution.replaceAll('-', '_')}-2.21.0.dist-info`;
  const all: Record<string, Buffer | string> = {
    ...files,
    [`${distInfo}/WHEEL`]: `Wheel-Version: 1.0\nTag: cp312-cp312-${platform}\n`,
    [`${distInfo}/METADATA`]:
      `Metadata-Version: 2.4\nName: ${distribution}\nVersion: 2.21.0\nRequires-Dist: numpy>=1.26.0\n` +
      'Requires-Dist: nvidia-cudnn-cu12<10.0,>=9.3.0.75; extra == "and-cuda"\n\nThe text.\n',
  };
  const zip = new ZipFile();
  const lines = Object.entries(all).map(([name, content]) => {
    const bytes = Buffer.from(content);
    zip.addBuffer(bytes, name);
    const hash = createHash('sha256').update(bytes).digest('base64url');
    return record(`${name},sha256=${hash},${bytes.length}`);
  });
  zip.addBuffer(Buffer.from([...lines, `${distInfo}/RECORD,,`, ''].join('\n')), `${distInfo}/RECORD`);
  zip.end();
  await pipeline(zip.outputStream, fs.createWriteStream(file));
  return file;
}

/** The files of a TensorFlow wheel that installing needs: two libraries, one of which has `TF_Version`, and headers. */
export function tensorflowFiles(folder: string, version: string): Record<string, Buffer | string> {
  return {
    'tensorflow/libtensorflow_cc.so.2': library(folder, 'libtensorflow_cc.so.2', ''),
    'tensorflow/libtensorflow_framework.so.2': library(
      folder,
      'libtensorflow_framework.so.2',
      version && `extern "C" const char* TF_Version() { return "${version}"; }\n`,
    ),
    'tensorflow/include/tensorflow/c/c_api.h':
      '#include "tensorflow/c/c_api_macros.h"\nTF_CAPI_EXPORT const char* TF_Version();\n',
    'tensorflow/include/tensorflow/c/c_api_macros.h': '#define TF_CAPI_EXPORT extern "C"\n',
    'tensorflow/include/tensorflow/c/kernels.h': '#error never included\n',
    'tensorflow/__init__.py': '',
  };
}

function library(folder: string, name: string, source: string): Buffer {
  const file = path.join(folder, name);
  fs.writeFileSync(`${file}.cc`, source);
  execFileSync('g++', ['-shared', '-fPIC', `-Wl,-soname,${name}`, `${file}.cc`, '-o', file]);
  return fs.readFileSync(file);
}

const BINDING = `
#include <node_api.h>
#include "tensorflow/c/c_api.h"
NAPI_MODULE_INIT() {
  napi_value version;
  napi_create_string_utf8(env, TF_Version(), NAPI_AUTO_LENGTH, &version);
  napi_set_named_property(env, exports, "TF_Version", version);
  return exports;
}
`;

const INDEX = `
const binding = require('../lib/napi-v8/tfjs_binding.node');
exports.getBackend = () => 'tensorflow';
exports.backend = () => ({binding, isUsingGpuDevice: false});
exports.tensor2d = (rows) => rows;
exports.matMul = ([a], b) => ({dataSync: () => [a.reduce((sum, x, i) => sum + x * b[i][0], 0)]});
`;

/** Writes a package with the layout of `@tensorflow/tfjs-node` 4.22.0 into `project`/node_modules; returns its folder. */
export function writeTfjsNode(project: string, name = '@tensorflow/tfjs-node'): string {
  const root = path.join(project, 'node_modules', name);
  const files = {
    'package.json': JSON.stringify({
      name,
      version: '4.22.0',
      main: 'dist/index.js',
      binary: {
        module_name: 'tfjs_binding',
        module_path: './lib/napi-v{napi_build_version}',
        napi_versions: [7, 8],
      },
    }),
    'binding/tfjs_binding.cc': BINDING,
    'dist/index.js': INDEX,
    'dist/nodejs_kernel_backend.js': 'util_1.isNullOrUndefined(tensors)',
  };
  for (const [file, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(root, file)), {recursive: true});
    fs.writeFileSync(path.join(root, file), content);
  }
  return root;
}
