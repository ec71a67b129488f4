/** Tests of bad input: the error names the input, what was expected and what came, and no memory stays allocated. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import {expect} from 'chai';

import {ARCHITECTURES} from '../../models/architectures.js';
import {writeLayerMap} from '../../models/layer_map.js';
import {load, type LoadOptions} from '../../src/load.js';
import type {GenerateOptions} from '../../src/options.js';
import {forEachBackend} from '../backends.js';
import {
  PRETRAINED,
  linkModel,
  newFolder,
  refusal,
  replaceFile,
  tinyLayerMap,
  tinyPair,
  withModel,
} from './models.js';

forEachBackend('load refuses', (backend) => {
  const refused = (options: object) =>
    refusal(() => load({...tinyPair(), backend, ...(options as LoadOptions)}));

  it('a missing folder', async () => {
    for (const role of ['verifier', 'draft'])
      expect(await refused({[role]: '/no/such/folder'})).to.equal(
        `[load] ${role} must be a folder with config.json, or 'pretrained', but there is no folder '/no/such/folder'`,
      );
    const file = path.join(tinyPair().verifier, 'config.json');
    expect(await refused({verifier: file})).to.include(`there is no folder '${file}'`);
  });

  it('a folder without its files', async () => {
    const empty = newFolder();
    expect(await refused({verifier: empty})).to.include(
      `${path.join(empty, 'tokenizer.json')}: cannot be read`,
    );
    for (const name of ['config.json', 'model.safetensors']) {
      const dir = linkModel(tinyPair().verifier);
      fs.rmSync(path.join(dir, name));
      expect(await refused({verifier: dir})).to.match(new RegExp(`^${dir}.*${name}`));
    }
  });

  /** Loads the tiny pair with spoiled weights of one model; returns the error message without the name of the file or folder. */
  const spoiled = async (role: 'draft' | 'verifier', spoil: (header: Header, file: Buffer) => Uint8Array) => {
    const dir = linkModel(tinyPair()[role]);
    const file = fs.readFileSync(path.join(dir, 'model.safetensors'));
    const length = Number(file.readBigUInt64LE(0));
    const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Header;
    replaceFile(dir, 'model.safetensors', spoil(header, file));
    const message = await refused({[role]: dir});
    const [place, what] = [message.slice(0, message.indexOf(': ')), message.slice(message.indexOf(': ') + 2)];
    expect(place).to.be.oneOf([dir, path.join(dir, 'model.safetensors')]);
    return what;
  };
  type Header = Record<string, {dtype: string; shape: number[]; data_offsets: [number, number]}>;
  const packed = (header: Header, file: Buffer): Buffer => {
    const json = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    return Buffer.concat([length, json, file.subarray(8 + Number(file.readBigUInt64LE(0)))]);
  };
  const NORM = 'model.layers.1.input_layernorm.weight';

  // The draft is loaded second, so its refusal must free the verifier.
  for (const role of ['verifier', 'draft'] as const) {
    it(`truncated weights (${role})`, async () => {
      expect(await spoiled(role, (_, file) => file.subarray(0, 5))).to.equal(
        "must begin with the 8 bytes of its header's length but has 5 bytes",
      );
      expect(await spoiled(role, (_, file) => file.subarray(0, 100))).to.match(
        /^the header must have at most 92 bytes but claims \d+: its download may be incomplete$/,
      );
      expect(await spoiled(role, (_, file) => file.subarray(0, -4))).to.match(
        /data_offsets must be within the file's \d+ bytes of data but is \[\d+,\d+\]: its download may be incomplete$/,
      );
    });

    it(`a header with wrong numbers (${role})`, async () => {
      expect(
        await spoiled(role, (_, file) => {
          file.writeBigUInt64LE(2n ** 62n, 0);
          return file;
        }),
      ).to.match(/^the header must have at most \d+ bytes but claims 4611686018427387904$/);
      expect(
        await spoiled(role, (header, file) => {
          header[NORM].data_offsets[0] -= 4;
          return packed(header, file);
        }),
      ).to.match(new RegExp(`^'${NORM}': data_offsets must be 128 bytes apart for F32 \\[32\\] but is `));
    });

    it(`a tensor that is missing, of another shape or of another kind (${role})`, async () => {
      expect(
        await spoiled(role, (header, file) => {
          header['another.name'] = header[NORM];
          delete header[NORM];
          return packed(header, file);
        }),
      ).to.equal(`the weights must hold '${NORM}' [32] but do not`);
      expect(
        await spoiled(role, (header, file) => {
          header[NORM].shape = [4, 8];
          return packed(header, file);
        }),
      ).to.equal(`'${NORM}' must have shape [32] but has [4,8]`);
      expect(
        await spoiled(role, (header, file) => {
          header[NORM].dtype = 'F12';
          return packed(header, file);
        }),
      ).to.match(new RegExp(`^'${NORM}': dtype must be one of .*F32.* but is "F12"$`));
      expect(
        await spoiled(role, (header, file) => {
          header[NORM].dtype = 'I32';
          return packed(header, file);
        }),
      )
        .to.include(NORM)
        .and.include('I32');
    });
  }

  it('a config of an architecture that is not known', async () => {
    const dir = linkModel(tinyPair().draft);
    replaceFile(dir, 'config.json', JSON.stringify({architectures: ['GPT2LMHeadModel']}));
    expect(await refused({draft: dir})).to.equal(
      `${path.join(dir, 'config.json')}: architectures must be a list with one of ${Object.keys(ARCHITECTURES).join(', ')} but is ["GPT2LMHeadModel"]`,
    );
  });

  it('a draft of another vocabulary', async () => {
    const dir = linkModel(tinyPair().draft);
    const file = path.join(dir, 'tokenizer.json');
    const json = JSON.parse(fs.readFileSync(file, 'utf8')) as {
      model: {vocab: Record<string, number>; merges: unknown[]};
    };
    const {vocab} = json.model;
    const [[a, idOfA], [b, idOfB]] = Object.entries(vocab).slice(100, 102);
    [vocab[a], vocab[b]] = [idOfB, idOfA];
    replaceFile(dir, 'tokenizer.json', JSON.stringify(json));
    const {verifier} = tinyPair();
    expect(await refused({draft: dir})).to.equal(
      `draft and verifier must share a vocabulary, but token ${Math.min(idOfA, idOfB)} is ${JSON.stringify(idOfA < idOfB ? b : a)} in ${dir} and ${JSON.stringify(idOfA < idOfB ? a : b)} in ${verifier}`,
    );
  });

  it('unknown options and invalid values', async () => {
    expect(await refused({verifer: 'x'})).to.equal(
      "[load] there is no option 'verifer'; the options are verifier, draft, layerMap, dtype, contextLength, backend, onProgress",
    );
    expect(await refused({dtype: 'int8'})).to.equal(
      '[load] dtype must be one of auto, float32, bfloat16, float16 but is "int8"',
    );
    for (const contextLength of [1, 2.5, NaN, '64'])
      expect(await refused({contextLength})).to.equal(
        `[load] contextLength must be a whole number >= 2 but is ${typeof contextLength === 'string' ? `"${contextLength}"` : contextLength}`,
      );
    expect(await refused({contextLength: Symbol('x')})).to.equal(
      '[load] contextLength must be a whole number >= 2 but is Symbol(x)',
    );
    expect(await refused({verifier: 7})).to.equal('[load] verifier must be a folder but is 7');
    expect(await refused({backend: 1n})).to.equal('[load] backend must be a name but is 1');
    expect(await refused({layerMap: 7})).to.equal('[load] layerMap must be a file or a layer map but is 7');
    expect(await refused({contextLength: 97})).to.equal(
      '[load] contextLength must be at most 96, what the verifier was made for, but is 97',
    );
    expect(await refused({backend: 'abacus'})).to.match(
      /^\[load\] backend must be one of .*cpu.* but is 'abacus'$/,
    );
    expect(await refusal(() => load(null as never))).to.equal(
      '[load] options must be an object but are null',
    );
  });

  it('a progress listener that throws', async () => {
    const onProgress = ({what}: {what: string}) => {
      if (what === 'draft') throw new Error('the listener failed');
    };
    expect(await refused({onProgress})).to.equal('the listener failed');
  });

  it('a layer map of another pair, as a file and as a value', async () => {
    const map = {...tinyLayerMap(tinyPair()), draft: {config: 'f00'}};
    const file = path.join(newFolder(), 'map.json');
    writeLayerMap(file, map);
    const message =
      /draft\.config must be [0-9a-f]{12}…, the hash of the draft's configuration, but is f00: the map is of another model$/;
    const asFile = await refused({layerMap: file});
    expect(asFile).to.match(message).and.include(file);
    expect(await refused({layerMap: map})).to.match(message);
    expect(await refused({layerMap: {...tinyLayerMap(tinyPair()), layers: [0, 1]}})).to.match(
      /layers must be 3 draft layers below 2 but is \[0,1\]$/,
    );
    expect(await refused({layerMap: '/no/such/map.json'})).to.match(/^\/no\/such\/map\.json: cannot be read/);
    expect(await refused({layerMap: 5})).to.equal('[load] layerMap must be a file or a layer map but is 5');
  });
});

forEachBackend('generate refuses', () => {
  const BAD: [options: object, message: string][] = [
    ...[0, 1.5, -0.5, NaN, '0.9'].map((p): [object, string] => [
      {p},
      `p must be a number in (0, 1] but is ${JSON.stringify(p) === 'null' ? 'NaN' : JSON.stringify(p)}`,
    ]),
    ...[0, 2.5, 99, -1].map((gamma): [object, string] => [
      {gamma},
      `gamma must be a whole number from 1 to 16, or 'adaptive' but is ${gamma}`,
    ]),
    [{gamma: 'often'}, `gamma must be a whole number from 1 to 16, or 'adaptive' but is "often"`],
    [{verification: 'none'}, `verification must be one of 'dense', 'sparse', 'refresh' but is "none"`],
    [{maxNewTokens: -1}, 'maxNewTokens must be a whole number >= 0 but is -1'],
    [{temperature: Infinity}, 'temperature must be a number from 0 to 3.4e38 but is Infinity'],
    [{stop: ['a', '']}, 'stop must be a text or a list of texts, none of them empty but is ["a",""]'],
    [{signal: {aborted: false}}, 'signal must be an AbortSignal but is {"aborted":false}'],
  ];

  it('unknown options and invalid values', () =>
    withModel(tinyPair(), async (lm) => {
      for (const [options, message] of BAD)
        expect(await refusal(() => lm.generate('It was', options))).to.equal(`[generate] ${message}`);
      for (const name of ['maxTokens', 'toString', 'constructor'])
        expect(await refusal(() => lm.generate('It was', {[name]: 5} as GenerateOptions))).to.match(
          new RegExp(`^\\[generate\\] there is no option '${name}'; the options are maxNewTokens, draft, `),
        );
      expect(await refusal(() => lm.generate('It was', null as never))).to.equal(
        '[generate] options must be an object but are null',
      );
      expect(await refusal(() => lm.stream('It was', {p: 2}).next())).to.include(
        'p must be a number in (0, 1] but is 2',
      );
    }));

  it('an invalid prompt', () =>
    withModel({...tinyPair(), contextLength: 20}, async (lm) => {
      for (const [prompt, what] of [
        [5, 'number'],
        [null, 'null'],
        [undefined, 'undefined'],
        [{role: 'user', content: 'a'}, 'object'],
      ])
        expect(await refusal(() => lm.generate(prompt as never))).to.equal(
          `[generate] prompt must be a text or a list of messages but is ${what as string}`,
        );
      const prompt = 'a '.repeat(30);
      const tokens = lm.tokenizer.encode(prompt).length;
      expect(await refusal(() => lm.generate(prompt))).to.equal(
        `[generate] prompt has ${tokens} tokens but the context holds 20`,
      );
      // The refusal must come without encoding the whole prompt, which takes seconds for a megabyte.
      const start = performance.now();
      expect(await refusal(() => lm.generate('\ud800'.repeat(2 ** 20)))).to.equal(
        '[generate] prompt has more than 40 tokens but the context holds 20',
      );
      expect(performance.now() - start).to.be.below(1000);
    }));

  it('a signal that was aborted before the call, with its reason', () =>
    withModel(tinyPair(), async (lm) => {
      expect(await refusal(() => lm.generate('It was', {signal: AbortSignal.abort()}))).to.equal(
        '[generate] signal must not be aborted before the call but is: This operation was aborted',
      );
      const reason = new Error('changed my mind');
      const error = await lm
        .generate('It was', {signal: AbortSignal.abort(reason)})
        .catch((error: Error) => error);
      expect(error).to.include({
        name: 'AbortError',
        message: '[generate] signal must not be aborted before the call but is: changed my mind',
        cause: reason,
      });
    }));

  it('sparse verification without a layer map of this pair', async () => {
    const {draft, verifier} = tinyPair();
    const other = linkModel(verifier);
    const sparse = {verification: 'sparse', maxNewTokens: 4, denseLayers: 0} as const;
    const check = (reason: RegExp) =>
      withModel({draft, verifier: other}, async (lm) => {
        expect(lm.layerMap).to.equal(undefined);
        await lm.generate('It was', {...sparse, verification: 'dense'});
        for (const verification of ['sparse', 'refresh'] as const) {
          const message = await refusal(() => lm.generate('It was', {...sparse, verification}));
          expect(message).to.match(
            new RegExp(`^\\[generate\\] verification '${verification}' needs a layer map \\(`),
          );
          expect(message)
            .to.match(reason)
            .and.include("run 'specattn calibrate' for this pair, or ask for 'dense'");
        }
        expect((await lm.generate('It was', {...sparse, denseLayers: 3})).tokens).to.have.lengthOf(4);
      });
    fs.rmSync(path.join(other, 'layer_map.json'));
    await check(/layer_map\.json does not exist/);
    writeLayerMap(path.join(other, 'layer_map.json'), {
      ...tinyLayerMap(tinyPair()),
      verifier: {config: 'f00'},
    });
    await check(
      /verifier\.config must be [0-9a-f]{12}…, the hash of the verifier's configuration, but is f00/,
    );
    fs.copyFileSync(path.join(PRETRAINED, 'verifier', 'layer_map.json'), path.join(other, 'layer_map.json'));
    await check(/draft\.config must be [0-9a-f]{12}…/);
  });
});
