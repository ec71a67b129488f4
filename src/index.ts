/**
 * specattn: speculative decoding with sparse verification for TensorFlow.js.
 * @packageDocumentation
 */
export {load, generate, disposeAll} from './load.js';
export type {LoadOptions, LoadProgress} from './load.js';
export {LanguageModel} from './language_model.js';
export type {GenerateOptions, Verification} from './options.js';
export type {FinishReason, GenerateResult, Prompt} from './generate.js';
export type {GenerateStats} from './stats.js';
export {calibrate, type CalibrateOptions} from './calibrate.js';
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
export {keptKeys, type KeptKeys, type KeptKeysOptions, type KeptSet} from './kept_keys.js';
export {drawKeptKeys, report} from './report/index.js';
export type {KeptKeysPictures, Missing, Report, ReportOptions} from './report/index.js';
export {SpecAttnBackend, describeDevices} from './backend/index.js';
export type {Captured, CaptureStep, DeviceProbe, DeviceReport, SpecAttnMemoryInfo} from './backend/index.js';
export {exportModel} from '../models/export.js';
export {fileSystem} from '../models/file_system.js';
export {readConfig, type LlamaConfig, type RopeScaling} from '../models/config.js';
export {Llama} from '../models/llama.js';
export type {AttentionOf, LlamaInput, LlamaLoadOptions, LlamaOutput, LlamaResult} from '../models/llama.js';
export {ChatTemplate, type ChatMessage} from '../models/chat_template.js';
export {LlamaTokenizer} from '../models/tokenizer.js';
export {readLayerMap, writeLayerMap} from '../models/layer_map.js';
export type {FloatStorage} from '../models/weights.js';
export type {Combination, KlMap, LayerMap, Mixture, MixtureMap, WeightedHead} from '../models/layer_map.js';
export * from '../ops/index.js';
