/** Tests of how an answer ends and how its text reaches the caller. */
import {expect} from 'chai';

import type {GenerateResult} from '../../src/decoding/generate.js';
import type {LanguageModel} from '../../src/language_model.js';
import type {GenerateOptions} from '../../src/options.js';
import {forEachBackend, onBackend} from '../backends.js';
import {PRETRAINED, linkModel, memory, passage, replaceFile, tinyPair, withModel} from './models.js';

const PROMPT = 'The captain looked at the sea and';
const WAYS: Record<string, GenerateOptions> = {
  plain: {draft: false},
  'dense speculation': {verification: 'dense', gamma: 4},
  'sparse adaptive': {verification: 'sparse', gamma: 'adaptive'},
};

/** Generates an answer and checks that the pieces given to onText make up its text. */
async function answer(lm: LanguageModel, prompt: string, options: GenerateOptions): Promise<GenerateResult> {
  let pieces = '';
  const result = await lm.generate(prompt, {
    ...options,
    onText: (piece) => {
      expect(piece).not.to.equal('');
      pieces += piece;
    },
  });
  expect(pieces).to.equal(result.text);
  return result;
}

for (const [what, way] of Object.entries(WAYS)) {
  onBackend('specattn', `the end of an answer, ${what}`, () => {
    it('is at maxNewTokens, and longer answers begin like shorter ones', () =>
      withModel({}, async (lm) => {
        const longest = await answer(lm, PROMPT, {...way, maxNewTokens: 33});
        for (const maxNewTokens of [0, 1, 2, 7, 32]) {
          const {tokens, text, finishReason, stats} = await answer(lm, PROMPT, {...way, maxNewTokens});
          expect(finishReason).to.equal('length');
          expect(tokens).to.deep.equal(longest.tokens.slice(0, maxNewTokens));
          expect(longest.text.startsWith(text), text).to.equal(true);
          expect(text).to.equal(lm.tokenizer.decode(tokens));
          expect(stats.newTokens).to.equal(maxNewTokens);
          if (maxNewTokens === 0) expect(stats.rounds).to.equal(0);
        }
      }));

    for (const contextLength of [12, 24]) {
      it(`is at the end of a context of ${contextLength}`, () =>
        withModel({contextLength}, async (lm) => {
          expect(lm.contextLength).to.equal(contextLength);
          const {tokens, finishReason, stats} = await answer(lm, PROMPT, {...way, maxNewTokens: 100});
          expect(finishReason).to.equal('length');
          // The keys and values of the last token are not cached, so it needs no row of the caches.
          expect(stats.promptTokens + tokens.length).to.equal(contextLength + 1);
          await withModel({}, async (wide) => {
            const whole = await wide.generate(PROMPT, {draft: false, maxNewTokens: tokens.length});
            if (way.verification !== 'sparse') expect(tokens).to.deep.equal(whole.tokens);
          });
        }));
    }

    it('comes after one token if the prompt fills the context', () =>
      withModel({contextLength: 16}, async (lm) => {
        const prompt = lm.tokenizer.decode(lm.tokenizer.encode(passage(1)).slice(0, 16));
        expect(lm.tokenizer.encode(prompt)).to.have.lengthOf(16);
        const {tokens, finishReason} = await answer(lm, prompt, {...way, maxNewTokens: 100});
        expect(finishReason).to.equal('length');
        expect(tokens).to.have.lengthOf(1);
      }));

    it('is where a stop text begins, also within a token', () =>
      withModel({}, async (lm) => {
        const options = {...way, maxNewTokens: 40};
        const {text} = await answer(lm, PROMPT, options);
        expect((await answer(lm, PROMPT, {...options, stop: 'no such text'})).text).to.equal(text);
        for (const [from, length] of [
          [0, 1],
          [5, 1],
          [11, 4],
          [20, 9],
          [31, 25],
        ]) {
          const stop = text.slice(from, from + length);
          expect(stop).to.have.lengthOf(length);
          const stopped = await answer(lm, PROMPT, {...options, stop: ['no such text', stop]});
          expect(stopped.finishReason, JSON.stringify(stop)).to.equal('stop');
          expect(stopped.text).to.equal(text.slice(0, text.indexOf(stop)));
        }
      }));

    it('delivers text that was held back as a possible stop text', () =>
      withModel({}, async (lm) => {
        const options = {...way, maxNewTokens: 20};
        const {text} = await answer(lm, PROMPT, options);
        const stop = text.slice(-10) + ' but then something else';
        const {text: held, finishReason} = await answer(lm, PROMPT, {...options, stop});
        expect(held).to.equal(text);
        expect(finishReason).to.equal('length');
      }));

    it('is at an end token, which has no text', async () => {
      const verifier = linkModel(`${PRETRAINED}/verifier`);
      let whole!: GenerateResult;
      await withModel({}, async (lm) => {
        whole = await lm.generate(PROMPT, {...way, maxNewTokens: 16});
      });
      for (const at of [0, 3, 8]) {
        const eos = whole.tokens[at];
        const first = whole.tokens.indexOf(eos);
        replaceFile(verifier, 'generation_config.json', JSON.stringify({eos_token_id: [1, eos]}));
        await withModel({verifier, draft: 'pretrained'}, async (lm) => {
          const {tokens, text, finishReason} = await answer(lm, PROMPT, {...way, maxNewTokens: 16});
          expect(finishReason).to.equal('eos');
          expect(tokens).to.deep.equal(whole.tokens.slice(0, first + 1));
          expect(text).to.equal(lm.tokenizer.decode(tokens.slice(0, -1)));
        });
      }
    });

    it('comes soon after the signal is aborted, with the text so far', () =>
      withModel({}, async (lm) => {
        const whole = await lm.generate(PROMPT, {...way, maxNewTokens: 64});
        const controller = new AbortController();
        let pieces = 0;
        let heard = '';
        const {text, tokens, finishReason} = await lm.generate(PROMPT, {
          ...way,
          maxNewTokens: 64,
          signal: controller.signal,
          onText: (piece) => {
            heard += piece;
            if (++pieces === 3) controller.abort();
          },
        });
        expect(finishReason).to.equal('aborted');
        expect(text).to.equal(heard);
        expect(tokens.length).to.be.within(3, 20);
        expect(tokens).to.deep.equal(whole.tokens.slice(0, tokens.length));
      }));
  });
}

onBackend('specattn', 'the rate of an answer', () => {
  it('leaves out the time that onText takes', () =>
    withModel({}, async (lm) => {
      const {stats} = await lm.generate(PROMPT, {
        maxNewTokens: 12,
        onText: () => {
          const until = performance.now() + 30;
          while (performance.now() < until);
        },
      });
      const {total, prefill, decode, caller} = stats.time;
      expect(caller).to.be.at.least(8 * 30); // a token may have no text of its own
      expect(prefill + decode + caller).to.be.closeTo(total, 1e-6);
      expect(stats.tokensPerSecond).to.be.closeTo((1000 * stats.newTokens) / decode, 1e-6);
    }));
});

onBackend('specattn', 'a long prompt', () => {
  it('can be aborted between two chunks', () =>
    withModel({}, async (lm) => {
      const controller = new AbortController();
      setImmediate(() => controller.abort());
      const {tokens, text, finishReason, stats} = await lm.generate(passage(1), {signal: controller.signal});
      expect({tokens, text, finishReason}).to.deep.equal({tokens: [], text: '', finishReason: 'aborted'});
      expect(stats.time.prefill).to.be.within(0.9 * stats.time.total, stats.time.total);
    }));
});

forEachBackend('an answer of a tiny pair', (backend) => {
  const options: GenerateOptions = {
    maxNewTokens: backend === 'cpu' ? 10 : 40,
    gamma: 3,
    denseLayers: 0,
    p: 0.7,
  };

  it('is the same by stream, by onText and as a whole', () =>
    withModel(tinyPair(), async (lm) => {
      const whole = await answer(lm, 'It was', options);
      let streamed = '';
      let heard = '';
      const stream = lm.stream('It was', {...options, onText: (piece) => (heard += piece)});
      let next = await stream.next();
      for (; !next.done; next = await stream.next()) streamed += next.value;
      expect(streamed).to.equal(whole.text);
      expect(heard).to.equal(whole.text);
      expect(next.value.tokens).to.deep.equal(whole.tokens);
      expect(next.value.text).to.equal(whole.text);
    }));

  it('can be left early', () =>
    withModel(tinyPair(), async (lm) => {
      const {tokens} = await lm.generate('It was', options);
      const before = memory();
      let pieces = 0;
      for await (const piece of lm.stream('It was', options)) {
        expect(piece).not.to.equal('');
        if (++pieces === 2) break;
      }
      expect(memory(), 'memory').to.deep.equal(before);
      expect((await lm.generate('It was', options)).tokens).to.deep.equal(tokens);
      expect(memory(), 'the same sequence').to.deep.equal(before);
    }));

  it('rejects with what onText throws', () =>
    withModel(tinyPair(), async (lm) => {
      const {tokens} = await lm.generate('It was', options);
      const before = memory();
      const failure = new Error('the listener failed');
      const onText = () => {
        throw failure;
      };
      const ways = [
        () => lm.generate('It was', {...options, onText}),
        () => lm.stream('It was', {...options, onText}).next(),
      ];
      for (const way of ways) {
        expect(
          await way().then(
            () => undefined,
            (error: unknown) => error,
          ),
        ).to.equal(failure);
        expect(memory(), 'memory').to.deep.equal(before);
      }
      expect((await lm.generate('It was', options)).tokens).to.deep.equal(tokens);
    }));

  it('is the same without a draft folder', async () => {
    const {verifier, draft} = tinyPair();
    let tokens: number[] = [];
    await withModel({verifier, draft}, async (lm) => {
      ({tokens} = await lm.generate('It was', {...options, draft: false}));
    });
    await withModel({verifier}, async (lm) => {
      expect(lm.draft).to.equal(undefined);
      const alone = await lm.generate('It was', options);
      expect(alone.tokens).to.deep.equal(tokens);
      expect(alone.stats).to.include({
        drafted: 0,
        accepted: 0,
        acceptance: 0,
        meanAcceptedLength: 0,
        kvReduction: 0,
      });
    });
  });
});
