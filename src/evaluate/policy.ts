/** A method at work: which keys the verifier reads in each block, handed to the sparse graph in the product's own form. */
import * as tf from '@tensorflow/tfjs-core';

import type {LlamaConfig} from '../../models/hf/config.js';
import type {LayerMap} from '../../models/layer_map.js';
import type {LlamaInput} from '../../models/llama/llama.js';
import {nucleusSelect} from '../../ops/index.js';
import type {SetsOfLayers} from '../selection/key_reads.js';
import {SelectionTensors, fading, lookBack, planSelection} from '../selection/selection.js';
import {draws} from './draws.js';
import {KeyMask, seeEnds, type ListedKeys} from './list_keys.js';
import {keysOf, type Method, type MethodOf} from './methods.js';
import './oracle_select.js'; // registers the graph's op
import {pageOf, questPages} from './quest_select.js';

/** Rows of the text at `position` and after. */
export interface Block {
  position: number;
  rows: number;
  /** Positions that the caches hold. */
  capacity: number;
  /** The draft's attention of these rows, where the policy asks for it. */
  draftAttention?: tf.Tensor[];
}

/** What the verifier is given: lists made beforehand, or an op that makes them in each layer. */
export type SelectionInput = {listed: ListedKeys} | {selector: NonNullable<LlamaInput['select']>['selector']};

export interface Policy {
  /** Which layers read which sets. */
  readonly plan: SetsOfLayers;
  /** The draft's attention that it chooses by. */
  readonly attention?: LlamaInput['attention'];
  /** Inside a tidy. */
  select(block: Block): SelectionInput;
  /** Where it looks back: takes the block's `setWeights` of the verifier, all of whose rows were accepted. Inside a tidy. */
  remember?(setWeights: tf.Tensor3D): void;
  /** What choosing read of the caches, for each row and for all of them: vectors of a minimum and a maximum, in each layer and head. */
  metadata?: (block: Block) => {ofRows: number[]; ofBlock: number};
  dispose?(): void;
}

/**
 * The policy of a method; undefined where every layer sees every key.
 * @throws Error where the method needs a draft and its layer map
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

/** The product's method: nuclei of the draft's attention, by the layer map. */
class DraftPolicy implements Policy {
  readonly plan;
  readonly attention;
  readonly remember?: Policy['remember'];
  private readonly selection: SelectionTensors;
  /** The running average that sets look back at; of the window that this policy is for. */
  private history: tf.Tensor2D | undefined;

  constructor(
    private readonly method: MethodOf<'specattn'>,
    layerMap: LayerMap,
    draft: LlamaConfig,
    verifier: LlamaConfig,
  ) {
    this.plan = planSelection(layerMap, draft, verifier, method);
    this.selection = new SelectionTensors(this.plan, method.p, method.gamma + 1);
    this.attention = this.selection.attention;
    const {ownRows} = this.plan;
    if (ownRows === undefined) return;
    this.remember = (setWeights) => {
      const rows = setWeights.shape[1]; // fewer at the window's end
      const decay = tf.tensor2d(fading(ownRows, rows));
      const next = lookBack(this.history!, setWeights, decay, tf.tensor1d([rows], 'int32'));
      this.history!.dispose();
      this.history = tf.keep(next);
    };
  }

  select({position, rows, capacity, draftAttention}: Block): SelectionInput {
    const {mix, p} = this.selection;
    const {sinks, recent, union} = this.method;
    // As in a round of the product, the last row has no step of its own.
    const steps = Array.from({length: Math.max(1, rows - 1)}, (_, i) => stepOf(draftAttention!, i));
    const start = tf.tensor1d([position], 'int32');
    if (this.remember) this.history ??= tf.keep(tf.zeros<tf.Rank.R2>([this.plan.mix.length, capacity]));
    return {listed: nucleusSelect(steps, mix, p, start, {sinks, recent, union, fixed: this.history})};
  }

  dispose(): void {
    this.history?.dispose();
    this.selection.dispose();
  }
}

/** Row i of every source, [R,C], from the rows of all layers: [T,C], or [R,T,C] of R heads. */
function stepOf(attention: tf.Tensor[], i: number): tf.Tensor2D {
  const rows = attention.map((layer) => {
    const [capacity] = layer.shape.slice(-1);
    if (layer.rank === 2) return tf.slice(layer as tf.Tensor2D, [i, 0], [1, capacity]);
    const row = tf.slice(layer as tf.Tensor3D, [0, i, 0], [-1, 1, capacity]);
    return tf.reshape(row, [-1, capacity]) as tf.Tensor2D;
  });
  return tf.concat2d(rows, 0);
}

/** The first keys and a window: what is left out never comes back. Keys keep the positions that they were rotated to. */
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

/** Sinks and recent keys, and the rest of the budget drawn from all others: for every layer and row anew. */
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

/** The nucleus of the verifier's own attention. */
function oracle(
  {p, granularity, sinks, recent, denseLayers}: MethodOf<'oracle'>,
  verifier: LlamaConfig,
): Policy {
  const sets = granularity === 'head' ? verifier.numKeyValueHeads : 1;
  const plan = planOf(verifier, denseLayers, false, sets);
  return {plan, select: () => ({selector: {op: 'OracleSelect', attrs: {p, sinks, recent, sets}}})};
}

/** Pages by the bounds of their scores. */
function quest({page, budget, denseLayers}: MethodOf<'quest'>, verifier: LlamaConfig): Policy {
  return {
    plan: planOf(verifier, denseLayers, false, verifier.numKeyValueHeads),
    select: () => ({selector: {op: 'QuestSelect', attrs: {page, budget}}}),
    // The bounds of all full pages before a row's own; a row that sees them all need not choose.
    metadata({position, rows}) {
      const ofRows = Array.from({length: rows}, (_, t) => {
        const pages = pageOf(position + t, page);
        return questPages(position + t, page, budget) < pages ? pages : 0;
      });
      return {ofRows, ofBlock: Math.max(...ofRows)};
    },
  };
}

/** One set that all sparse layers share, or `setsPerLayer` of its own for each of them. */
function planOf(verifier: LlamaConfig, denseLayers: number, shared: boolean, setsPerLayer = 1): SetsOfLayers {
  const sets = Array.from({length: verifier.numHiddenLayers}, (_, layer) =>
    layer < denseLayers ? -1 : shared ? 0 : (layer - denseLayers) * setsPerLayer,
  );
  return {sets, setsPerLayer};
}
