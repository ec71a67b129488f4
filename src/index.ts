// The declarations name types of the DOM, which a Node program lacks.
// eslint-disable-next-line @typescript-eslint/triple-slash-reference
/// <reference path="./types/dom.d.ts" preserve="true" />
/**
 * specattn: speculative decoding with sparse verification for TensorFlow.js.
 * @packageDocumentation
 */
import '../backend/require.js';

export {load, generate, disposeAll} from './load.js';
export type {LoadOptions, LoadProgress} from './load.js';
export {LanguageModel} from './language_model.js';
export type {GenerateOptions, Verification} from './options.js';
export type {FinishReason} from './decoding/answer.js';
export type {GenerateResult} from './decoding/generate.js';
export type {Prompt} from './decoding/prompt.js';
export type {GenerateStats} from './decoding/stats.js';
export {calibrate, type CalibrateOptions} from './calibration/calibrate.js';
export {evaluate, type EvaluateOptions, type EvaluatedPair} from './evaluate/index.js';
export {evaluatePasskey, type PasskeyOptions, type PasskeyRecord} from './evaluate/index.js';
export type {
  EvaluationText,
  MethodResult,
  PasskeyKind,
  ReadSums,
  ScoreSums,
  WindowRecord,
} from './evaluate/index.js';
export {heatmap} from './report/heatmap.js';
export {keptKeys, type KeptKeys, type KeptKeysOptions, type KeptSet} from './evaluate/kept_keys.js';
export {drawKeptKeys, report} from './report/index.js';
export type {KeptKeysPictures, Missing, Report, ReportOptions} from './report/index.js';
export {SpecAttnBackend, describeDevices} from '../backend/index.js';
export type {Capture, CaptureStep, DeviceProbe, DeviceReport, SpecAttnMemoryInfo} from '../backend/index.js';
export {exportModel} from '../models/llama/export.js';
export {fileSystem} from '../models/file_system.js';
export {readConfig, type LlamaConfig, type RopeScaling} from '../models/hf/config.js';
export {Llama} from '../models/llama/llama.js';
export type {
  AttentionOf,
  LlamaInput,
  LlamaLoadOptions,
  LlamaOutput,
  LlamaResult,
} from '../models/llama/llama.js';
export {ChatTemplate, type ChatMessage, type TextPart} from '../models/hf/chat_template.js';
export {LlamaTokenizer} from '../models/hf/tokenizer.js';
export {readLayerMap, writeLayerMap} from '../models/layer_map.js';
export type {FloatStorage} from '../models/llama/weights.js';
export type {Combination, KlMap, LayerMap, Mixture, MixtureMap, WeightedHead} from '../models/layer_map.js';
export * from '../ops/index.js';
