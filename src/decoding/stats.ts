/** What one call of `generate` measured. */
import type {LlamaConfig} from '../../models/hf/config.js';
import {KeyReads, readReductions} from '../selection/key_reads.js';
import type {SelectionPlan} from '../selection/plan.js';

export interface GenerateStats {
  promptTokens: number;
  newTokens: number;
  /** Passes of the verifier after the prompt. */
  rounds: number;
  /** Those of them that drafted nothing: all without a draft; with one, those past the context that the draft was made for. */
  plainRounds: number;
  drafted: number;
  accepted: number;
  /** accepted / drafted; 0 where nothing was drafted. */
  acceptance: number;
  /** How many rounds accepted 0, 1, 2, ... drafted tokens. */
  acceptedLengths: number[];
  /** Accepted drafted tokens a round, on average. */
  meanAcceptedLength: number;
  /** 1 - kept keys / visible keys, over the decoded rows of the sparse layers; 0 where there are none. */
  kvReduction: number;
  /** The same over all layers, the dense ones with every key kept. */
  kvReductionAll: number;
  /** Bytes of the verifier's keys and values, summed over rounds. */
  bytesRead: {
    /** what attention read: a round's union of keys in sparse layers, every key in dense ones and in passes of `refresh` */
    keyValues: number;
    /** what dense attention would have read */
    keyValuesDense: number;
  };
  /** New tokens a second of decoding: the prompt's time is left out, and what the caller took over the text. */
  tokensPerSecond: number;
  /** Milliseconds: the whole call, which is the prompt, the decoding and what the caller took over the text; and the decoding by phase. */
  time: {
    total: number;
    prefill: number;
    decode: number;
    caller: number;
    draft: number;
    select: number;
    verify: number;
    accept: number;
    /** dense passes of `refresh` */
    refresh: number;
    /** preparing rounds: once for each gamma and set of options, then kept */
    record: number;
  };
  /** Where it ran, in words. */
  device: string;
}

/** Collects the figures of one call while its rounds run. */
export class StatsCollector {
  private readonly start = performance.now();
  private decodeStart = this.start;
  private waiting = 0;
  private rounds = 0;
  private plainRounds = 0;
  private drafted = 0;
  private accepted = 0;
  private readonly acceptedLengths: number[] = [];
  private readonly reads: KeyReads;
  private readonly phases = {draft: 0, select: 0, verify: 0, accept: 0, refresh: 0, record: 0};

  constructor(
    verifier: LlamaConfig,
    bytesPerElement: number,
    private readonly promptTokens: number,
    private readonly device: string,
  ) {
    this.reads = new KeyReads(verifier, bytesPerElement);
  }

  /** The prompt has been read: decoding begins. */
  prefilled(): void {
    this.decodeStart = performance.now();
  }

  /** Milliseconds that a piece of text was in the caller's hands. */
  waited(milliseconds: number): void {
    this.waiting += milliseconds;
  }

  phase(times: Record<string, number>): void {
    for (const [name, ms] of Object.entries(times)) this.phases[name as keyof typeof this.phases] += ms;
  }

  /** Times the preparation of a round. */
  recording<T>(prepare: () => T): T {
    const start = performance.now();
    try {
      return prepare();
    } finally {
      this.phases.record += performance.now() - start;
    }
  }

  /** A dense pass over the rows from `from` up to `to`, which reads every key before `to` once. */
  refresh(milliseconds: number, from: number, to: number): void {
    this.phases.refresh += milliseconds;
    if (to > from) this.reads.refresh(to);
  }

  /** A round of plain decoding: one row at `position` saw every key in every layer. */
  plain(position: number): void {
    this.rounds++;
    this.plainRounds++;
    this.reads.dense(position, 1, 1);
  }

  /**
   * A round of speculative decoding at `position`.
   * @param counts keys of each set's union; empty where verification was dense
   * @param kept keys that each row of each set sees, [S, gamma + 1] row by row
   */
  speculative(
    position: number,
    gamma: number,
    accepted: number,
    plan: SelectionPlan | undefined,
    counts: Int32Array,
    kept: Int32Array,
  ): void {
    this.rounds++;
    this.drafted += gamma;
    this.accepted += accepted;
    for (let i = this.acceptedLengths.length; i <= accepted; i++) this.acceptedLengths.push(0);
    this.acceptedLengths[accepted]++;
    if (plan) this.reads.sparse(position, accepted + 1, gamma + 1, plan, counts, kept);
    else this.reads.dense(position, accepted + 1, gamma + 1);
  }

  result(newTokens: number): GenerateStats {
    const end = performance.now();
    const decode = end - this.decodeStart - this.waiting;
    const {bytes, bytesDense} = this.reads.sums;
    const {kvReduction, kvReductionAll} = readReductions(this.reads.sums);
    return {
      promptTokens: this.promptTokens,
      newTokens,
      rounds: this.rounds,
      plainRounds: this.plainRounds,
      drafted: this.drafted,
      accepted: this.accepted,
      acceptance: this.drafted ? this.accepted / this.drafted : 0,
      acceptedLengths: this.acceptedLengths,
      meanAcceptedLength: this.rounds ? this.accepted / this.rounds : 0,
      kvReduction,
      kvReductionAll,
      bytesRead: {keyValues: bytes, keyValuesDense: bytesDense},
      tokensPerSecond: newTokens && decode > 0 ? (newTokens * 1000) / decode : 0,
      time: {
        total: end - this.start,
        prefill: this.decodeStart - this.start,
        decode,
        caller: this.waiting,
        ...this.phases,
      },
      device: this.device,
    };
  }
}
