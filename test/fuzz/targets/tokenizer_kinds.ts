/** Texts through tokenizers of every kind, against what Python's tokenizers made of them. */
import * as fc from 'fast-check';

import type {LlamaTokenizer} from '../../../models/hf/tokenizer.js';
import {BLOCKS, KINDS, differingBlock, load} from '../../models/tokenizer_kinds.js';
import type {Target} from '../target.js';

let loaded: [kind: string, tokenizer: LlamaTokenizer][] | undefined;

/** The input is the number of a block of texts. */
export const tokenizers: Target<number> = {
  name: 'tokenizers',
  share: 1,
  input: fc.nat(BLOCKS - 1),
  run: (block) => {
    loaded ??= KINDS.map((kind) => [kind, load(kind)]);
    for (const [kind, tokenizer] of loaded) {
      const made = differingBlock(kind, tokenizer, block);
      if (made)
        throw new Error(
          `${kind} must give the ids and texts of Python's tokenizers: ${JSON.stringify(made)}`,
        );
    }
  },
  names: () => false,
};
