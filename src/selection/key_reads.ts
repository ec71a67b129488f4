/** Counts the keys and bytes that verification reads of the verifier's caches, as the section Accounting of docs/architecture.md defines. */
import type {LlamaConfig} from '../../models/hf/config.js';
import type {SelectionPlan} from './plan.js';

/** Which layers read which sets: the part of a plan that the accounting needs. */
export type SetsOfLayers = Pick<SelectionPlan, 'sets' | 'setsPerLayer'>;

/** Sums over decoded rows and their blocks. */
export interface ReadSums {
  /** Keys that rows of sparse layers saw: in a layer with several sets, the mean over the sets. */
  kept: number;
  /** Keys that these rows could have seen. */
  visible: number;
  /** Keys that rows of dense layers saw. */
  denseVisible: number;
  /** What choosing keys read of sparse layers' caches for each row by itself, in keys. */
  metadata: number;
  /** Bytes of keys and values that attention read: a block's union once in a sparse layer, every key in a dense one. */
  bytes: number;
  /** What dense attention would have read. */
  bytesDense: number;
  /** Bytes of the lists of selected keys and of their rows' bits, which every sparse layer reads. */
  bytesLists: number;
  /** Bytes that choosing read, once a block. */
  bytesMetadata: number;
}

/** Ratios of sums; 0 where there are no sparse layers. */
export function readReductions({kept, visible, denseVisible, metadata}: ReadSums) {
  return {
    /** 1 - kept keys / visible keys, over the decoded rows of the sparse layers. */
    kvReduction: visible ? 1 - kept / visible : 0,
    /** The same over all layers, the dense ones with every key kept. */
    kvReductionAll: visible ? 1 - (kept + denseVisible) / (visible + denseVisible) : 0,
    /** `kvReduction` with what choosing keys read counted as keys. */
    readReduction: visible ? 1 - (kept + metadata) / visible : 0,
  };
}

/** Adds up what blocks read, one block after the other. */
export class KeyReads {
  readonly sums: ReadSums = {
    ...{kept: 0, visible: 0, denseVisible: 0, metadata: 0},
    ...{bytes: 0, bytesDense: 0, bytesLists: 0, bytesMetadata: 0},
  };
  private readonly layers: number;
  private readonly groups: number;
  /** Bytes of one key and its value in one head. */
  private readonly pairBytes: number;

  constructor({numHiddenLayers, numKeyValueHeads, headDim}: LlamaConfig, bytesPerElement: number) {
    this.layers = numHiddenLayers;
    this.groups = numKeyValueHeads;
    this.pairBytes = 2 * headDim * bytesPerElement;
  }

  /** A dense pass that renews keys and values of rows before `to`: it reads every key once. */
  refresh(to: number): void {
    this.sums.bytes += this.layers * this.groups * to * this.pairBytes;
  }

  /**
   * A block in which every layer sees every key.
   * @param rows those that count as decoded
   * @param block those that were computed
   */
  dense(position: number, rows: number, block: number): void {
    for (let layer = 0; layer < this.layers; layer++) this.denseLayer(position, rows, block);
  }

  /**
   * A block of which some layers see selected keys.
   * @param counts keys of each set's union
   * @param kept keys that each row of each set sees, set by set; a set has `kept.length / counts.length` of them, `rows` or more
   */
  sparse(
    position: number,
    rows: number,
    block: number,
    {sets, setsPerLayer}: SetsOfLayers,
    counts: Int32Array,
    kept: Int32Array,
  ): void {
    const {sums} = this;
    const share = this.groups / setsPerLayer;
    const stride = kept.length / counts.length;
    for (const first of sets) {
      if (first < 0) {
        this.denseLayer(position, rows, block);
        continue;
      }
      for (let set = first; set < first + setsPerLayer; set++) {
        sums.bytes += share * counts[set] * this.pairBytes;
        sums.bytesDense += share * (position + block) * this.pairBytes;
        sums.bytesLists += counts[set] * 2 * Int32Array.BYTES_PER_ELEMENT;
        for (let row = 0; row < rows; row++) {
          sums.kept += kept[set * stride + row] / setsPerLayer;
          sums.visible += (position + row + 1) / setsPerLayer;
        }
      }
    }
  }

  /**
   * What choosing a block's keys read in every head of every sparse layer, in vectors as large as a key and its value.
   * @param ofRows what each row by itself needs
   * @param ofBlock what all of them need
   */
  metadata(ofRows: readonly number[], ofBlock: number, {sets}: SetsOfLayers): void {
    const layers = sets.filter((set) => set >= 0).length;
    this.sums.metadata += layers * ofRows.reduce((sum, pairs) => sum + pairs, 0);
    this.sums.bytesMetadata += layers * this.groups * ofBlock * this.pairBytes;
  }

  private denseLayer(position: number, rows: number, block: number): void {
    for (let row = 0; row < rows; row++) this.sums.denseVisible += position + row + 1;
    const bytes = this.groups * (position + block) * this.pairBytes;
    this.sums.bytes += bytes;
    this.sums.bytesDense += bytes;
  }
}
