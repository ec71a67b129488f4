/** A sequence and its captures, for tests that run single rounds without the loop of `generate`. */
import {Captures} from '../../src/decoding/captures.js';
import {unpackReport, type RoundReport} from '../../src/decoding/round_report.js';
import {Sequence} from '../../src/decoding/sequence.js';
import type {ReadyStep} from '../../src/decoding/steps.js';
import type {LanguageModel} from '../../src/language_model.js';
import type {ResolvedOptions} from '../../src/options.js';
import {planAnswer} from '../../src/selection/plan.js';

export class Decoder {
  readonly sequence: Sequence;
  readonly captures: Captures;
  private readonly pair;

  constructor({draft, verifier, layerMap, sharedVocabulary}: LanguageModel, contextLength: number) {
    this.pair = {draft, verifier, layerMap, sharedVocabulary, contextLength};
    this.sequence = new Sequence(this.pair);
    this.captures = new Captures(this.pair);
  }

  get state() {
    return this.sequence.state;
  }

  /** Reads the prompt as `generate` does with these options. */
  async begin(prompt: readonly number[], options: ResolvedOptions, withDraft = true): Promise<void> {
    const plan = planAnswer(this.pair, options);
    if (plan && !this.sequence.fits(plan)) {
      this.captures.forget(this.sequence);
      this.sequence.fit(plan);
    }
    await this.sequence.begin(prompt, options, plan, withDraft, () => Promise.resolve());
  }

  /** The ready step of a round with this gamma, or of plain decoding if gamma is 0. */
  step(gamma: number, options: ResolvedOptions): ReadyStep {
    const {captures, sequence} = this;
    return (gamma > 0 ? captures.speculative(sequence, gamma, options) : captures.plain(sequence)).step;
  }

  /** Runs a round (a plain step if gamma is 0) and waits for its report. */
  async round(gamma: number, options: ResolvedOptions): Promise<RoundReport> {
    const [report] = (await this.step(gamma, options).run().read()) as [Int32Array];
    const plan = gamma > 0 ? planAnswer(this.pair, options) : undefined;
    return unpackReport(report, gamma, plan?.mix.length ?? 0);
  }

  dispose(): void {
    this.captures.forget(this.sequence);
    this.sequence.dispose();
  }
}
