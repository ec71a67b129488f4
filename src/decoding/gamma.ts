/** How many tokens to draft next. */

/** What it chooses from: each value is another recording of the round, made when it is first used. */
const CHOICES = [1, 2, 4, 8];
/** Share of the estimate that a tested token leaves to those before it: a memory of about ten. */
const MEMORY = 0.9;
const PRIOR_ACCEPTANCE = 0.75;

/**
 * Chooses gamma from the acceptance so far. With a token accepted with probability a, a round gives (1 - a^(gamma + 1)) / (1 - a) tokens
 * (Leviathan et al., arXiv 2211.17192, eq. 1) and costs 1 + gamma * cost passes of the verifier; the best quotient wins. Time is not
 * measured, so that a seed gives the same text again.
 */
export class AdaptiveGamma {
  private acceptance = PRIOR_ACCEPTANCE;

  /** @param cost of drafting and verifying one token more, in passes of the verifier over one row */
  constructor(private readonly cost: number) {}

  next(): number {
    const a = this.acceptance;
    let best = CHOICES[0];
    let bestRate = 0;
    for (const gamma of CHOICES) {
      const tokens = a > 0.999 ? gamma + 1 : (1 - a ** (gamma + 1)) / (1 - a);
      const rate = tokens / (1 + gamma * this.cost);
      if (rate > bestRate) [best, bestRate] = [gamma, rate];
    }
    return best;
  }

  /** Learns from a round: every accepted token was tested, and so was the first refused one. */
  update(gamma: number, accepted: number): void {
    for (let i = 0; i < Math.min(accepted + 1, gamma); i++)
      this.acceptance = MEMORY * this.acceptance + (1 - MEMORY) * (i < accepted ? 1 : 0);
  }
}
