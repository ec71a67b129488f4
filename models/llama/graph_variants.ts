/** The GraphModels of one Llama: one for each set of graph options, all on the same weights. */
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import {loadGraphModelSync, type GraphModel} from '@tensorflow/tfjs-converter';

import '../../ops/index.js'; // registers the graph's ops
import type {LlamaConfig} from '../hf/config.js';
import {buildLlamaGraph} from './graph.js';
import type {GraphConstant} from './graph_builder.js';
import type {GraphOptions} from './graph_options.js';

type SyncGraphModel = GraphModel<tf.io.IOHandlerSync>;

export class GraphVariants {
  private readonly models = new Map<string, SyncGraphModel>();

  /** @param tensors the weights by name; constants of graphs are added to them. The caller disposes of all. */
  constructor(
    private readonly config: LlamaConfig,
    private readonly tensors: Map<string, tf.Tensor>,
  ) {}

  /** The graph with these options. It is built at the first call. */
  get(options: GraphOptions): SyncGraphModel {
    const key = JSON.stringify(options);
    let model = this.models.get(key);
    if (!model) {
      model = this.build(options);
      this.models.set(key, model);
    }
    return model;
  }

  clear(): void {
    this.models.clear();
  }

  private build(options: GraphOptions): SyncGraphModel {
    const {topology, constants} = buildLlamaGraph(this.config, options);
    const model = loadGraphModelSync({
      modelTopology: topology,
      weightSpecs: [],
      weightData: new ArrayBuffer(0),
    });
    for (const [name, constant] of constants) {
      if (!this.tensors.has(name)) this.tensors.set(name, makeConstant(constant));
    }
    // Weights are set after loading because tfjs-converter would widen bfloat16 ones.
    for (const {name} of topology.node) {
      const weight = this.tensors.get(name);
      if (weight) model.weights[name] = [weight];
    }
    return model;
  }
}

/**
 * A kept tensor of a constant. tfjs-converter reads int32 constants (shapes and axes) on the host at every use, so
 * they live on tfjs-backend-cpu, where reading does not wait for the device. float32 constants are inputs of kernels
 * and live on the current backend.
 */
function makeConstant({dtype, shape, values}: GraphConstant): tf.Tensor {
  if (dtype === 'float32') return tf.keep(tf.tensor(values, shape, dtype));
  return tf.keep(tf.engine().makeTensor(values, shape, dtype, tf.findBackend('cpu')) as tf.Tensor);
}
