/**
 * Recognises what stands where a model's file should be but is not the file: a pointer of Git LFS, a link that leads
 * nowhere, a web page, another format of weights. Errors then name the cause and not the first field that is wrong.
 */
import {
  existsSync,
  lstatSync,
  readdirSync,
  readlinkSync,
  readSync,
  openSync,
  closeSync,
  statSync,
} from 'node:fs';
import * as path from 'node:path';

/** Enough of a file's beginning for {@link foreignKind}. A Git LFS pointer is shorter than 1,024 bytes. */
const BEGINNING = 1024;

/** Files that a model's folder may leave out. One that is there and cannot be used must not count as left out. */
const OPTIONAL = [
  'generation_config.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.json',
  'chat_template.jinja',
  'layer_map.json',
];

const WEIGHTS_OF_OTHERS = /\.(bin|pt|pth|ckpt|gguf|h5|msgpack|onnx|safetensors)$/;

/** Formats that begin with these bytes, and what to do about a file of one of them. */
const FORMATS: [bytes: string, words: string][] = [
  [
    'GGUF',
    'a GGUF file, which holds weights of llama.cpp: take the folder of safetensors that it was made of',
  ],
  ['PK\x03\x04', 'a zip archive, as PyTorch writes weights: convert them to safetensors'],
  ['\x80\x02', 'a pickle, as old versions of PyTorch write weights: convert them to safetensors'],
  ['\x1f\x8b', 'a gzip archive: unpack it first'],
  ['\xff\xfe', 'text in UTF-16: save it in UTF-8'],
  ['\xfe\xff', 'text in UTF-16: save it in UTF-8'],
];

/**
 * Names the kind of a file that is not what it should be, and the remedy.
 * @param bytes the beginning of the file
 * @returns words that follow "but is"; undefined where the kind is not known
 */
export function foreignKind(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes.subarray(0, BEGINNING)).toString('latin1');
  // Old pointers name hawser, which Git LFS was called at first.
  if (/^version https:\/\/(git-lfs|hawser)\.github\.com\/spec\//.test(text)) {
    const size = /^size (\d+)$/m.exec(text)?.[1];
    const what = size === undefined ? 'the file' : `the file of ${size} bytes`;
    return `a Git LFS pointer: run \`git lfs pull\` where it was cloned, which puts ${what} in its place`;
  }
  // The answer of a server that refused the download, saved under the file's name.
  if (/^(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml)/i.test(text))
    return 'a web page: its download failed; fetch the file again';
  if (text.length >= 8 && /^\0+$/.test(text))
    return 'full of zeros: its download was broken off; fetch the file again';
  return FORMATS.find(([begin]) => text.startsWith(begin))?.[1];
}

/**
 * Whether there is a file or folder of this name.
 * @throws Error naming the file where it is a link that leads nowhere, or nobody may look
 */
export function isThere(file: string): boolean {
  try {
    statSync(file);
    return true;
  } catch (error) {
    const {code, message} = error as NodeJS.ErrnoException;
    const target = danglingTarget(file);
    if (target !== undefined)
      throw new Error(`${file}: must be a file but is a link to ${target}, which is not there`, {
        cause: error,
      });
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw new Error(`${file}: cannot be read: ${message}`, {cause: error});
  }
}

/** What a link that leads nowhere points to; undefined for anything else. */
export function danglingTarget(file: string): string | undefined {
  if (existsSync(file)) return undefined;
  try {
    return lstatSync(file).isSymbolicLink() ? readlinkSync(file) : undefined;
  } catch {
    return undefined; // neither a file nor a link
  }
}

/**
 * Checks the files of a model's folder that may be missing, so that a broken one is not taken for a missing one.
 * @throws Error naming the file and what it is instead
 */
export function checkOptionalFiles(dir: string): void {
  for (const name of OPTIONAL) {
    const file = path.join(dir, name);
    if (!isThere(file) || !statSync(file).isFile()) continue;
    const begin = Buffer.alloc(BEGINNING);
    const fd = openSync(file, 'r');
    try {
      const kind = foreignKind(begin.subarray(0, readSync(fd, begin, 0, BEGINNING, 0)));
      if (kind) throw new Error(`${file}: must be a model's ${name} but is ${kind}`);
    } finally {
      closeSync(fd);
    }
  }
}

/** The weights in a folder that are not of the names that are read, in words that follow "holds neither". */
export function otherWeights(dir: string): string {
  let names: string[];
  try {
    names = readdirSync(dir).filter((name) => WEIGHTS_OF_OTHERS.test(name));
  } catch {
    return ''; // the caller tells of a folder that cannot be read
  }
  if (names.length === 0) return '';
  const [first, more] = [names.sort()[0], names.length - 1];
  return `, only ${first}${more ? ` and ${more} more` : ''}: convert the weights to safetensors or download them anew`;
}
