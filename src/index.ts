/**
 * specattn: speculative decoding with sparse verification for TensorFlow.js.
 * @packageDocumentation
 */
export {load, generate, disposeAll} from './load.js';
export type {LoadOptions, LoadProgress} from './load.js';
export {LanguageModel} from './language_model.js';
export type {GenerateOptions, Verification} from './options.js';
export type {FinishReason, GenerateResult} from './generate.js';
export type {GenerateStats} from './stats.js';
export {calibrate, type CalibrateOptions} from './calibrate.js';
export {evaluate, type EvaluateOptions, type EvaluatedPair} from './evaluate/index.js';
export {evaluatePasskey, type PasskeyOptions, type PasskeyRecord} from './evaluate/index.js';
export type {EvaluationText, MethodResult, WindowRecord} from './evaluate/index.js';
export {heatmap} from './heatmap.js';
export {keptKeys, type KeptKeys, type KeptKeysOptions, type KeptSet} from './kept_keys.js';
export {drawKeptKeys, report} from './report/index.js';
export type {KeptKeysPictures, Report, ReportOptions} from './report/index.js';
export {describeDevices} from './backend/index.js';
export type {DeviceProbe, DeviceReport, SpecAttnMemoryInfo} from './backend/index.js';
export {exportModel} from '../models/export.js';
export {fileSystem} from '../models/file_system.js';
export {Llama} from '../models/llama.js';
export {LlamaTokenizer} from '../models/tokenizer.js';
export {readLayerMap, writeLayerMap} from '../models/layer_map.js';
export type {LayerMap} from '../models/layer_map.js';
export * from '../ops/index.js';
