/** Tests of what concerns only the backend `tensorflow`. Other files test ops, models and the loop on it, as on every backend. */
import {spawnSync} from 'node:child_process';
import * as fs from 'node:fs';
import {createRequire} from 'node:module';
import * as os from 'node:os';
import * as path from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';

import {kvCacheAppend, rmsNorm, rotaryAppend, swiGLU} from '../../ops/index.js';
import {addonFile, loadAddon, packageRoot, type Addon} from '../../backend/addon.js';
import {tensorflowKernels} from '../../backend/tensorflow.js';
import {missing, onBackend} from '../backends.js';
import {expectSame} from '../compare.js';
import {tinyPair, withModel} from '../decoding/models.js';

const at = (position: number): tf.Tensor1D => tf.tensor1d([position], 'int32');
const ADAPTER = path.join(path.dirname(addonFile()), 'specattn_tensorflow.node');

interface Adapter {
  open(devices: unknown): unknown;
  /** number of donated buffers that were copied so far */
  copies(): number;
}
const adapter = () => createRequire(__filename)(ADAPTER) as Adapter;

onBackend('tensorflow', 'our kernels in TensorFlow', () => {
  it('update a donated cache in place', () => {
    let cache = tf.add(tf.zeros([1, 8, 2]), 1) as tf.Tensor3D;
    const rows = tf.fill([1, 1, 2], 2) as tf.Tensor3D;
    const before = adapter().copies();
    for (let i = 0; i < 4; i++) {
      const next = kvCacheAppend(cache, rows, at(2 * i));
      cache.dispose();
      cache = next;
    }
    expect(adapter().copies()).to.equal(before);
    expectSame(tf.slice(cache, [0, 0, 1], [1, 8, 1]).dataSync(), [2, 1, 2, 1, 2, 1, 2, 1]);
  });

  it('copy no cache while a model decodes', () =>
    withModel(tinyPair(), async (lm) => {
      for (const options of [{draft: false}, {gamma: 2, denseLayers: 0, p: 0.6}]) {
        const answer = (maxNewTokens: number) => lm.generate('It was', {...options, maxNewTokens});
        await answer(1);
        const before = adapter().copies();
        await answer(16);
        expect(adapter().copies() - before, JSON.stringify(options)).to.equal(0);
      }
    }));

  it('do not change other tensors that share the buffer of a donated cache', () => {
    const made = tf.add(tf.zeros([1, 2, 2]), 1) as tf.Tensor3D;
    const view = tf.reshape(made, [4]); // shares the buffer of `made`
    const before = adapter().copies();
    const next = kvCacheAppend(made, tf.fill([1, 1, 2], 5) as tf.Tensor3D, at(0));
    expect(adapter().copies() - before).to.equal(1);
    expectSame(next.dataSync(), [5, 5, 1, 1]);
    expectSame(view.dataSync(), [1, 1, 1, 1]);

    const values = Float32Array.of(1, 2, 3, 4); // JavaScript's own memory, which tfjs-node lends to TensorFlow
    const lent = tf.tensor3d(values, [1, 2, 2]);
    expectSame(kvCacheAppend(lent, tf.zeros([1, 1, 2]), at(1)).dataSync(), [1, 2, 0, 0]);
    expectSame(values, [1, 2, 3, 4]);
  });

  it('refuse one tensor as both caches', () => {
    const cache = tf.zeros([1, 4, 2]);
    expect(() => rotaryAppend(tf.zeros([1, 6]), at(0), tf.zeros([1]), cache, cache)).to.throw(
      '[RotaryAppend] donated tensors must be different but two are one',
    );
    expectSame(cache.dataSync(), new Float32Array(8));
  });

  it('lose only the donated cache if they refuse a launch', () => {
    const cache = tf.add(tf.zeros([1, 4, 2]), 1);
    const kernels = tensorflowKernels(tf.backend())!;
    expect(() => kernels.launch('KVCacheAppend', [cache, tf.zeros([1, 1, 3]), at(0)], [cache])).to.throw(
      '[KVCacheAppend] rows must have shape [?,1,2] but has [1,1,3]',
    );
    expect(() => cache.dataSync()).to.throw('not referenced');
    cache.dispose();
  });

  it('throw the errors of the launcher, of TensorFlow and of the adapter', () => {
    const kernels = tensorflowKernels(tf.backend())!;
    const launch = (kernel: string, inputs: tf.TensorInfo[], shape: number[], attrs?: number[]) => () =>
      kernels.launch(kernel, inputs, [kernels.output(shape, 'float32')], attrs);
    const x = tf.ones([2, 6]);
    expect(launch('SwiGLU', [x], [2, 4])).to.throw(/\[SwiGLU\] .* must have shape \[2,3\] but has \[2,4\]/);
    expect(launch('SwiGLU', [x], [2, 3], [1])).to.throw('[SwiGLU] takes 0 attributes but got 1');
    for (const shape of [[2, -3], [2 ** 40, 2 ** 40], [1, 1, 1, 1, 1, 1, 1, 1, 1], [0.5]])
      expect(launch('SwiGLU', [x], shape)).to.throw(
        /\[(SwiGLU|tensorflow)\] (outputs must be shapes|numbers must)/,
      );
    expect(launch('Swish', [x], [2, 3])).to.throw("[tensorflow] there is no kernel 'Swish'");
    const words = tf.tensor1d(['a']);
    expect(launch('SwiGLU', [words], [2, 3])).to.throw("[SwiGLU] dtypes must be f, i or b but one is '?'");
    expectSame(swiGLU(tf.zeros([1, 4])).dataSync(), [0, 0]); // the backend still works
  });

  it('give the same bits as on the backend specattn', async () => {
    const x = Float32Array.from({length: 330}, (_, i) => Math.sin(i) * 1e-3);
    const norm = () => rmsNorm(tf.tensor2d(x, [3, 110]), tf.ones([110]), 1e-7).dataSync();
    const here = norm();
    await tf.setBackend('specattn');
    try {
      expectSame(here, norm());
    } finally {
      await tf.setBackend('tensorflow');
    }
  });
});

describe('the TensorFlow adapter', function () {
  const loaded = loadAddon();
  before(function () {
    if (!('addon' in loaded)) this.skip();
  });

  /** The error of `open` in a new process with this LD_PRELOAD. */
  function refusal(preload: string): string {
    const script = `
      try {
        require(${JSON.stringify(ADAPTER)}).open(require(${JSON.stringify(addonFile())}).devices);
      } catch (error) {
        process.stdout.write(error.message);
      }`;
    const {stdout, stderr} = spawnSync(process.execPath, ['-e', script], {
      encoding: 'utf8',
      env: {...process.env, LD_PRELOAD: preload},
    });
    expect(stderr).to.equal('');
    return stdout;
  }

  it('says that no TensorFlow is loaded', function () {
    if (process.platform !== 'linux') this.skip();
    expect(refusal('')).to.match(
      /^\[tensorflow\] no TensorFlow is loaded \(.*\): load @tensorflow\/tfjs-node first$/,
    );
  });

  it('names the function that a TensorFlow lacks, and its version', function () {
    if (process.platform !== 'linux') this.skip();
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'specattn-tensorflow-'));
    try {
      const [source, library] = [path.join(folder, 'tf.c'), path.join(folder, 'libtensorflow.so.2')];
      fs.writeFileSync(source, 'const char* TF_Version(void) { return "1.2.3"; }\n');
      const built = spawnSync('cc', [
        '-shared',
        '-fPIC',
        '-Wl,-soname,libtensorflow.so.2',
        '-o',
        library,
        source,
      ]);
      expect(built.status).to.equal(0);
      expect(refusal(library)).to.match(
        /^\[tensorflow\] TensorFlow 1\.2\.3 has no TF_NewStatus, which custom ops need/,
      );
    } finally {
      fs.rmSync(folder, {recursive: true});
    }
  });

  it('accepts only the devices of an addon', () => {
    const {addon} = loaded as {addon: Addon};
    for (const devices of [undefined, {}, addon.kernels])
      expect(() => adapter().open(devices)).to.throw("[tensorflow] open expects the addon's devices");
  });

  const reason = missing('tensorflow');
  (reason ? it.skip : it)(
    'is replaced by the composed fallbacks if no native device is wanted, with one message',
    () => {
      const script = `
      const specattn = require(${JSON.stringify(packageRoot)});
      const tf = require('@tensorflow/tfjs-node');
      specattn.rmsNorm(tf.ones([1, 2]), tf.ones([2]));
      process.stdout.write(tf.getBackend() + ' ' + specattn.swiGLU(tf.ones([1, 2])).dataSync()[0].toFixed(4));`;
      const {stdout, stderr} = spawnSync(process.execPath, ['-e', script], {
        encoding: 'utf8',
        cwd: packageRoot,
        env: {...process.env, SPECATTN_DEVICE: 'none'},
      });
      expect(stdout).to.equal('tensorflow 0.7311');
      expect(stderr.match(/specattn: .*/g)).to.deep.equal([
        'specattn: the backend tensorflow runs the composed ops: SPECATTN_DEVICE=none asks for no native device',
      ]);
    },
  );
});
