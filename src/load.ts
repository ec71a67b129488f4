/** Loads pairs of models: `load` returns a new one, and `generate` loads a pair, keeps it and writes with it in one call. */
import {existsSync, statSync} from 'node:fs';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';

import {readLayerMap, type LayerMap} from '../models/layer_map.js';
import {Llama} from '../models/llama/llama.js';
import {checkOptionalFiles} from '../models/hf/foreign_file.js';
import {LlamaTokenizer, sharedVocabulary} from '../models/hf/tokenizer.js';
import {homeRemedy, packageRoot} from '../backend/home.js';
import {checkNames, refuse} from '../backend/check.js';
import {refuseAborted, resolveOptions, type GenerateOptions} from './options.js';
import type {GenerateResult} from './decoding/generate.js';
import type {Prompt} from './decoding/prompt.js';
import {LanguageModel} from './language_model.js';
import {describeBackend, useBackend} from '../backend/use.js';

export interface LoadProgress {
  /** What is being loaded: `verifier` or `draft`. */
  what: string;
  /** Bytes of weights read so far, and in all. */
  loaded: number;
  total: number;
}

export interface LoadOptions {
  /** A Hugging Face Llama folder, or `pretrained`: the embedded model. Default: the embedded one. */
  verifier?: string;
  /** The same; null for none. Default: the embedded one beside the embedded verifier, else none. */
  draft?: string | null;
  /** A layer map or its file. Default: `layer_map.json` beside the verifier, where it is of this pair. */
  layerMap?: string | LayerMap;
  /** How weights are stored: as in the file (`auto`), or converted. Caches are stored like the matrices. */
  dtype?: 'auto' | 'float32' | 'bfloat16' | 'float16';
  /**
   * Positions that the caches hold. Default: what the verifier was made for. Past the positions that the draft was made
   * for, an answer goes on without it.
   */
  contextLength?: number;
  /**
   * A TF.js backend: `specattn`; `tensorflow`, the native kernels inside @tensorflow/tfjs-node or @tensorflow/tfjs-node-gpu; `wasm`, `cpu`
   * or any that is registered, with the composed ops. Default: the current one if there is one, else `specattn`, else `cpu`.
   */
  backend?: string;
  onProgress?: (progress: LoadProgress) => void;
}

const OPTIONS = ['verifier', 'draft', 'layerMap', 'dtype', 'contextLength', 'backend', 'onProgress'];
const DTYPES = ['auto', 'float32', 'bfloat16', 'float16'];
const PRESET = 'pretrained';

/**
 * A model's folder: a preset's, or the one given.
 * @throws Error where there is none, or a file that may be missing is there and is not the file
 */
export function resolveModel(name: string, role: 'draft' | 'verifier'): string {
  const folder = name === PRESET ? path.join(packageRoot, 'models', 'pretrained', role) : name;
  const missing = name === PRESET && homeRemedy !== undefined ? `: ${homeRemedy}` : '';
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new Error(
      `[load] ${role} must be a folder with config.json, or '${PRESET}', but there is no folder '${folder}'${missing}`,
    );
  checkOptionalFiles(folder);
  return folder;
}

/** The end of the last task; TensorFlow.js has one current backend, so tasks that need a backend of their own take turns. */
let lastTask: Promise<unknown> = Promise.resolve();
/** Answers of {@link generate} that are being written; the backend stays theirs until they end. */
const answers = new Set<Promise<unknown>>();

/** Runs `task` with `backend` as the current one, after every task before it. */
function inTurn<T>(backend: string | undefined, task: () => Promise<T>): Promise<T> {
  const done = lastTask.then(async () => {
    if (backend !== undefined && backend !== tf.engine().backendName) await Promise.allSettled(answers);
    await useBackend(backend);
    return task();
  });
  lastTask = done.catch(() => undefined);
  return done;
}

/**
 * Loads a verifier and, where there is one, its draft. Calls that overlap load one after the other.
 *
 * ```ts
 * const lm = await load();                                   // the embedded pair
 * const big = await load({verifier: 'Llama-2-7b-hf', draft: 'TinyLlama-1.1B'});
 * ```
 * @throws Error naming what is missing or wrong: a folder, a file and its field, two vocabularies that differ. Nothing stays
 *     allocated.
 */
export async function load(options: LoadOptions = {}): Promise<LanguageModel> {
  checkOptions(options);
  return inTurn(options.backend, () => loadPair(options));
}

async function loadPair(options: LoadOptions): Promise<LanguageModel> {
  const embedded = options.verifier === undefined || options.verifier === PRESET;
  const draftName = options.draft === undefined ? (embedded ? PRESET : null) : options.draft;
  if (draftName === null && options.layerMap !== undefined)
    throw new Error('[load] layerMap must be left out where there is no draft: it is of a pair');
  const folders = {
    verifier: resolveModel(options.verifier ?? PRESET, 'verifier'),
    draft: draftName === null ? undefined : resolveModel(draftName, 'draft'),
  };
  const tokenizer = LlamaTokenizer.load(folders.verifier);
  const shared =
    folders.draft === undefined ? undefined : sharedVocabulary(LlamaTokenizer.load(folders.draft), tokenizer);

  const loadModel = (what: 'verifier' | 'draft', folder: string) =>
    Llama.load(folder, {
      dtype: options.dtype,
      onProgress: options.onProgress && (({loaded, total}) => options.onProgress!({what, loaded, total})),
    });
  const loaded: Llama[] = [];
  try {
    const verifier = await loadModel('verifier', folders.verifier);
    loaded.push(verifier);
    const draft = folders.draft ? await loadModel('draft', folders.draft) : undefined;
    if (draft) loaded.push(draft);
    const most = verifier.config.maxPositionEmbeddings;
    const contextLength = options.contextLength ?? most;
    if (contextLength > most)
      throw new Error(
        `[load] contextLength must be at most ${most}, what the verifier was made for, but is ${contextLength}`,
      );
    const map = draft ? findLayerMap(options.layerMap, folders.verifier, draft, verifier) : {};
    const pair = {verifier, draft, sharedVocabulary: shared, contextLength, ...map};
    return new LanguageModel(pair, tokenizer, describeBackend());
  } catch (error) {
    loaded.forEach((model) => model.dispose());
    throw error;
  }
}

function checkOptions(options: LoadOptions): void {
  checkNames('load', options, OPTIONS);
  const {
    verifier = '',
    draft,
    layerMap = '',
    dtype = 'auto',
    contextLength = 2,
    backend = '',
    onProgress,
  } = options;
  const check = (name: string, holds: boolean, expected: string, value: unknown) => {
    if (!holds) refuse('load', name, expected, value);
  };
  check('verifier', typeof verifier === 'string', 'a folder', verifier);
  check('draft', typeof (draft ?? '') === 'string', 'a folder, or null for none', draft);
  check('dtype', DTYPES.includes(dtype), `one of ${DTYPES.join(', ')}`, dtype);
  const isLength = Number.isSafeInteger(contextLength) && contextLength >= 2;
  check('contextLength', isLength, 'a whole number >= 2', contextLength);
  const isMap = typeof layerMap === 'string' || (typeof layerMap === 'object' && layerMap !== null);
  check('layerMap', isMap, 'a file or a layer map', layerMap);
  check('backend', typeof backend === 'string', 'a name', backend);
  check('onProgress', onProgress === undefined || typeof onProgress === 'function', 'a function', onProgress);
}

/** A map that was asked for must fit; the one beside the verifier is used if it does, and its refusal is told when it is needed. */
function findLayerMap(
  wanted: string | LayerMap | undefined,
  folder: string,
  draft: Llama,
  verifier: Llama,
): {layerMap?: LayerMap; layerMapReason?: string} {
  if (wanted !== undefined) return {layerMap: readLayerMap(wanted, draft.config, verifier.config)};
  const file = path.join(folder, 'layer_map.json');
  if (!existsSync(file)) return {layerMapReason: `${file} does not exist`};
  try {
    return {layerMap: readLayerMap(file, draft.config, verifier.config)};
  } catch (error) {
    return {layerMapReason: (error as Error).message};
  }
}

/** The models that {@link generate} keeps loaded, by what they were loaded with. */
const cache = new Map<string, LanguageModel>();

/**
 * One call: loads the pair (once; it stays loaded) and continues `prompt`, or answers it where it is a list of messages. Calls may overlap.
 * Where they ask for different backends, one waits until the answers on the other have ended.
 * @param options those of {@link load} and of `LanguageModel.generate`. A `signal` that fires while the models load ends the answer before
 *     its first token, as {@link GenerateOptions.signal} says
 * @throws Error what these two throw
 */
export async function generate(
  prompt: Prompt,
  options: Omit<GenerateOptions & LoadOptions, 'draft'> & {draft?: string | boolean | null} = {},
): Promise<GenerateResult> {
  const {verifier, layerMap, dtype, contextLength, backend, onProgress, draft, ...rest} = options;
  const {signal} = resolveOptions(rest as GenerateOptions); // refused before anything is loaded
  refuseAborted(signal);
  const switched = typeof draft === 'boolean';
  const loading = {verifier, layerMap, dtype, contextLength, draft: switched ? undefined : draft};
  const given = Object.fromEntries(Object.entries(loading).filter(([, value]) => value !== undefined));
  checkOptions({...given, backend, onProgress});
  const answer = await inTurn(backend, async () => {
    // A model stays on the backend that it was loaded on.
    const key = JSON.stringify({...given, backend: tf.getBackend()});
    const model = cache.get(key) ?? (await loadPair({...given, onProgress}));
    cache.set(key, model);
    // The answer refuses a signal that was aborted before its own call; this one may have fired since.
    const late = signal?.aborted ? new AbortController() : undefined;
    const written = model.generate(prompt, {
      ...rest,
      ...(switched ? {draft} : {}),
      ...(late && {signal: late.signal}),
    });
    late?.abort(signal!.reason);
    answers.add(written);
    const ended = () => answers.delete(written);
    written.then(ended, ended);
    return {written}; // not the promise itself, for which this turn would wait
  });
  return answer.written;
}

/** Frees the models that {@link generate} keeps loaded, after those that are being loaded. Answers still being written end first. */
export async function disposeAll(): Promise<void> {
  await lastTask;
  for (const model of cache.values()) model.dispose();
  cache.clear();
}
