/** What a signal does: aborted before the call it is refused; fired during the call it ends the answer, which resolves. */
import * as path from 'node:path';
import {expect} from 'chai';

import {disposeAll, generate} from '../../src/load.js';
import {onBackend} from '../backends.js';
import {tinyPair, withModel} from './models.js';

const rejection = (work: Promise<unknown>) =>
  work.then(
    () => expect.fail('must be refused'),
    (error: Error) => error,
  );
const REFUSED = {
  name: 'AbortError',
  message: '[generate] signal must not be aborted before the call but is: changed my mind',
};

onBackend('specattn', 'a signal', () => {
  const reason = new Error('changed my mind');

  it('that was aborted before the call is refused by every way to write, before anything is loaded', () =>
    withModel(tinyPair(), async (lm) => {
      const signal = AbortSignal.abort(reason);
      const nowhere = path.join(tinyPair().verifier, 'nowhere');
      for (const work of [
        () => lm.generate('It was', {signal}),
        () => lm.stream('It was', {signal}).next(),
        () => generate('It was', {verifier: nowhere, signal}),
      ]) {
        const error = await rejection(work());
        expect(error).to.include(REFUSED);
        expect(error.cause).to.equal(reason);
      }
    }));

  it('that fires while the models load ends the answer before its first token', async () => {
    for (const when of ['at once', 'while weights are read']) {
      const controller = new AbortController();
      const onProgress = () => controller.abort(reason);
      const pieces: string[] = [];
      const written = generate('It was', {
        ...tinyPair(),
        contextLength: when === 'at once' ? 40 : 41, // not the pair that was loaded before
        onProgress: when === 'at once' ? undefined : onProgress,
        onText: (piece) => pieces.push(piece),
        signal: controller.signal,
      });
      if (when === 'at once') controller.abort(reason);
      const {tokens, text, finishReason} = await written;
      expect({tokens, text, finishReason}).to.deep.equal({tokens: [], text: '', finishReason: 'aborted'});
      expect(pieces).to.deep.equal([]);
    }
    // The models stay loaded, and the next answer is whole.
    const {tokens, finishReason} = await generate('It was', {
      ...tinyPair(),
      contextLength: 41,
      maxNewTokens: 3,
    });
    expect({length: tokens.length, finishReason}).to.deep.equal({length: 3, finishReason: 'length'});
    await disposeAll();
  });

  it('that fires while text is written resolves with the text so far, and one that fires later changes nothing', () =>
    withModel(tinyPair(), async (lm) => {
      const options = {maxNewTokens: 40, verification: 'dense', temperature: 0} as const;
      const whole = await lm.generate('It was', options);
      const controller = new AbortController();
      const cut = await lm.generate('It was', {
        ...options,
        onText: () => controller.abort(reason),
        signal: controller.signal,
      });
      expect(cut.finishReason).to.equal('aborted');
      expect(cut.tokens.length).to.be.within(1, 20);
      expect(cut.tokens).to.deep.equal(whole.tokens.slice(0, cut.tokens.length));
      const late = new AbortController();
      const result = await lm.generate('It was', {...options, signal: late.signal});
      late.abort();
      expect(result.tokens).to.deep.equal(whole.tokens);
      expect(result.finishReason).to.equal(whole.finishReason);
    }));
});
