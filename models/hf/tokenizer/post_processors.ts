/** Post-processors of tokenizer.json: which special tokens are added to a text's own. */
import {whole} from '../../../backend/check.js';
import type {Fields} from '../json_file.js';

/** The ids with special tokens added, or, where none are wanted, as they are. */
export type PostProcessor = (ids: number[], addSpecialTokens: boolean) => number[];

const isId = whole(0)[0];

/** @throws Error if the part is of a kind that does not exist, or has a field that is not as it should be */
export function readPostProcessor(part: Fields): PostProcessor {
  const type = part.text('type');
  switch (type) {
    case 'Sequence': {
      const processors = part.objects('processors').map(readPostProcessor);
      return (ids, addSpecialTokens) =>
        processors.reduce((processed, processor) => processor(processed, addSpecialTokens), ids);
    }
    case 'TemplateProcessing':
      return template(part);
    case 'BertProcessing':
    case 'RobertaProcessing': {
      const isToken = (value: unknown) => Array.isArray(value) && isId(value[1]);
      const idOf = (name: string) =>
        part.get<[string, number]>(name, 'a list of a token and its id', isToken)[1];
      const [start, end] = [idOf('cls'), idOf('sep')];
      return (ids, addSpecialTokens) => (addSpecialTokens ? [start, ...ids, end] : ids);
    }
    case 'ByteLevel': // it changes offsets alone
      return (ids) => ids;
    default:
      throw new Error(`there is no post-processor of type ${type}`);
  }
}

function template(part: Fields): PostProcessor {
  const special = part.object('special_tokens');
  /** The ids of each piece; undefined where the text stands. */
  const pieces = part.objects('single').map((piece): number[] | undefined => {
    if (piece.has('Sequence')) return undefined;
    const token = piece.object('SpecialToken');
    if (!token) throw piece.error('SpecialToken', 'an object');
    const named = special?.object(token.text('id'));
    if (!named) throw token.error('id', 'one of special_tokens');
    return named.list('ids', 'a list of token ids', isId);
  });
  return (ids, addSpecialTokens) => {
    const all: number[] = [];
    for (const piece of pieces) {
      const added = piece === undefined ? ids : addSpecialTokens ? piece : [];
      for (const id of added) all.push(id);
    }
    return all;
  };
}
