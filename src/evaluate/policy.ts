/**
 * Policies: what a method of choosing keys does in each block of an evaluation. A policy hands its keys to the
 * verifier's sparse graph in the same form as `generate` does.
 */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../../models/hf/config.js';
import type {LayerMap} from '../../models/layer_map.js';
import type {LlamaInput} from '../../models/llama/llama.js';
import {nucleusSelect} from '../../ops/index.js';
import type {SetsOfLayers} from '../selection/key_reads.js';
import {decayFactors, updateHistory} from '../selection/attention_history.js';
import {planSelection, thresholds} from '../selection/plan.js';
import {SelectionTensors} from '../selection/tensors.js';
import {draws} from './draws.js';
import {KeyMask, seeEnds, type ListedKeys} from './list_keys.js';
import {keysOf, type Method, type MethodOf} from './methods.js';
import './oracle_select.js'; // registers the graph's op
import {pageOf, questPages} from './quest_select.js';

/** Consecutive rows of the text that the verifier decodes at once. */
export interface Block {
  /** Position of the first row. */
  position: number;
  rows: number;
  /** Number of positions that the caches hold. */
  capacity: number;
  /** The draft's attention rows for this block, where the policy asks for them: [T,C] a layer, or [R,T,C] of R heads. */
  draftAttention?: tf.Tensor[];
}

/** What the verifier is given: lists of keys made beforehand, or the name of an op that lists them in each layer. */
export type SelectionInput = {listed: ListedKeys} | {selector: NonNullable<LlamaInput['select']>['selector']};

export interface Policy {
  /** Which layers read which sets. */
  readonly plan: SetsOfLayers;
  /** Which attention of the draft the policy needs. */
  readonly attention?: LlamaInput['attention'];
  /** Chooses the keys of a block. Called inside `tf.tidy`. */
  select(block: Block): SelectionInput;
  /**
   * Adds a block to the attention history, where the policy uses it. Called inside `tf.tidy`.
   * @param setWeights the verifier's attention weights of each set, float32 [S,T,C]; all T rows count as accepted
   */
  remember?(setWeights: tf.Tensor3D): void;
  /**
   * Counts what choosing a block's keys reads of the caches in each KV head of each sparse layer: `ofRows` for each row
   * by itself, `ofBlock` for all rows together. The unit is a pair of vectors as large as a key and its value; for
   * Quest it is a page's minimum and maximum.
   */
  metadata?: (block: Block) => {ofRows: number[]; ofBlock: number};
  dispose?(): void;
}

/**
 * The policy of a method; undefined where every layer sees every key.
 * @param draft required by the method `specattn`, as is `layerMap`
 */
export function policyOf(
  method: Method,
  verifier: LlamaConfig,
  draft?: LlamaConfig,
  layerMap?: LayerMap,
): Policy | undefined {
  if (method.kind === 'dense' || method.denseLayers >= verifier.numHiddenLayers) return undefined;
  switch (method.kind) {
    case 'specattn':
      return new DraftPolicy(method, layerMap!, draft!, verifier);
    case 'streaming':
      return streaming(method, verifier);
    case 'random':
      return random(method, verifier);
    case 'oracle':
      return oracle(method, verifier);
    case 'quest':
      return quest(method, verifier);
  }
}

/** The method of `generate`: the layer map combines the draft's attention rows, and their nuclei are the keys. */
class DraftPolicy implements Policy {
  readonly plan;
  readonly attention;
  readonly remember?: Policy['remember'];
  private readonly selection: SelectionTensors;
  /** float32 [S]: p of each set. */
  private readonly p: tf.Tensor1D;
  /**
   * The attention history of the window that this policy decodes, [S,C]; undefined before the first block and where it
   * is not used.
   */
  private history: tf.Tensor2D | undefined;

  constructor(
    private readonly method: MethodOf<'specattn'>,
    layerMap: LayerMap,
    draft: LlamaConfig,
    verifier: LlamaConfig,
  ) {
    this.plan = planSelection(layerMap, draft, verifier, method);
    this.selection = new SelectionTensors(this.plan, method.gamma + 1);
    this.p = tf.keep(tf.tensor1d(thresholds(this.plan, method.p)));
    this.attention = this.selection.attention;
    const {historyRows} = this.plan;
    if (historyRows === undefined) return;
    this.remember = (setWeights) => {
      const rows = setWeights.shape[1]; // the last block of a window may be shorter
      const decay = tf.tensor2d(decayFactors(historyRows, rows));
      const next = updateHistory(this.history!, setWeights, decay, tf.tensor1d([rows], 'int32'));
      this.history!.dispose();
      this.history = tf.keep(next);
    };
  }

  select({position, rows, capacity, draftAttention}: Block): SelectionInput {
    const {mix} = this.selection;
    const {sinks, recent, union} = this.method;
    // As in a round of `generate`, the draft takes no step for the last row. A block of one row uses the step of that row.
    const steps = Array.from({length: Math.max(1, rows - 1)}, (_, i) => stepOf(draftAttention!, i));
    const start = tf.tensor1d([position], 'int32');
    if (this.remember) this.history ??= tf.keep(tf.zeros<tf.Rank.R2>([this.plan.mix.length, capacity]));
    return {listed: nucleusSelect(steps, mix, this.p, start, {sinks, recent, union, fixed: this.history})};
  }

  dispose(): void {
    this.history?.dispose();
    this.selection.dispose();
    this.p.dispose();
  }
}

/**
 * The attention rows of step i, [R,C].
 * @param attention for each layer the attention of all T rows: [T,C], or [R,T,C] of R heads
 */
function stepOf(attention: tf.Tensor[], i: number): tf.Tensor2D {
  const rows = attention.map((layer) => {
    const [capacity] = layer.shape.slice(-1);
    if (layer.rank === 2) return tf.slice(layer as tf.Tensor2D, [i, 0], [1, capacity]);
    const row = tf.slice(layer as tf.Tensor3D, [0, i, 0], [-1, 1, capacity]);
    return tf.reshape(row, [-1, capacity]) as tf.Tensor2D;
  });
  return tf.concat2d(rows, 0);
}

/**
 * StreamingLLM (arXiv 2309.17453): the first keys and the most recent ones. Unlike there, keys keep the positions that
 * they were rotated to.
 */
function streaming({budget, sinks, denseLayers}: MethodOf<'streaming'>, verifier: LlamaConfig): Policy {
  return {
    plan: planOf(verifier, denseLayers, true),
    select({position, rows, capacity}) {
      const mask = new KeyMask(1, rows, capacity);
      for (let t = 0; t < rows; t++) {
        const visible = position + t + 1;
        seeEnds(mask.row(0, t), visible, sinks, Math.max(1, keysOf(budget, visible) - sinks));
      }
      return {listed: mask.list()};
    },
  };
}

/** The sinks, the recent keys, and random other keys up to the budget, drawn anew for every layer and row. */
function random(
  {budget, sinks, recent, seed, denseLayers}: MethodOf<'random'>,
  verifier: LlamaConfig,
): Policy {
  const layers = verifier.numHiddenLayers - denseLayers;
  return {
    plan: planOf(verifier, denseLayers, false),
    select({position, rows, capacity}) {
      const mask = new KeyMask(layers, rows, capacity);
      for (let layer = 0; layer < layers; layer++) {
        for (let t = 0; t < rows; t++) {
          const visible = position + t + 1;
          const row = mask.row(layer, t);
          seeEnds(row, visible, sinks, recent);
          const others = [...Array(visible).keys()].filter((key) => row[key] === 0);
          const wanted = keysOf(budget, visible) - (visible - others.length);
          const next = draws(seed, position + t, layer);
          for (let i = 0; i < wanted; i++) {
            const j = i + Math.floor(next() * (others.length - i));
            row[others[j]] = 1;
            others[j] = others[i];
          }
        }
      }
      return {listed: mask.list()};
    },
  };
}

/** The nucleus of the verifier's own attention, found by OracleSelect in each layer. */
function oracle(
  {p, granularity, sinks, recent, denseLayers}: MethodOf<'oracle'>,
  verifier: LlamaConfig,
): Policy {
  const sets = granularity === 'head' ? verifier.numKeyValueHeads : 1;
  const plan = planOf(verifier, denseLayers, false, sets);
  return {plan, select: () => ({selector: {op: 'OracleSelect', attrs: {p, sinks, recent, sets}}})};
}

/** Quest: the pages of keys with the highest bounds of their scores, found by QuestSelect in each layer. */
function quest({page, budget, denseLayers}: MethodOf<'quest'>, verifier: LlamaConfig): Policy {
  return {
    plan: planOf(verifier, denseLayers, false, verifier.numKeyValueHeads),
    select: () => ({selector: {op: 'QuestSelect', attrs: {page, budget}}}),
    // A row reads the bounds of all full pages before its own page, unless it sees all of them anyway.
    metadata({position, rows}) {
      const ofRows = Array.from({length: rows}, (_, t) => {
        const pages = pageOf(position + t, page);
        return questPages(position + t, page, budget) < pages ? pages : 0;
      });
      return {ofRows, ofBlock: Math.max(...ofRows)};
    },
  };
}

/** @param shared whether all sparse layers read the same set; else each has `setsPerLayer` sets of its own */
function planOf(verifier: LlamaConfig, denseLayers: number, shared: boolean, setsPerLayer = 1): SetsOfLayers {
  const sets = Array.from({length: verifier.numHiddenLayers}, (_, layer) =>
    layer < denseLayers ? -1 : shared ? 0 : (layer - denseLayers) * setsPerLayer,
  );
  return {sets, setsPerLayer};
}
