/**
 * The tokens that tokenizer_config.json and the old files beside it name, which transformers adds to those of
 * tokenizer.json.
 */
import type {Fields} from '../json_file.js';
import type {AddedToken} from './added_tokens.js';

/** Fields of tokenizer_config.json that name a special token each. */
const NAMES = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'].map((name) => `${name}_token`);

/**
 * The text of a token in tokenizer_config.json, which is a string or an object with a `content`; undefined if it is
 * neither.
 */
export function contentOf(token: unknown): string | undefined {
  const content =
    typeof token === 'object' && token !== null ? (token as {content?: unknown}).content : token;
  return typeof content === 'string' ? content : undefined;
}

/**
 * The added token that an object describes. `normalized` is by default what it is in transformers.
 * @throws Error naming the file and the field
 */
export function readAddedToken(fields: Fields, special = fields.flag('special', false)): AddedToken {
  return {
    content: fields.text('content'),
    special,
    normalized: fields.flag('normalized', !special),
    single_word: fields.flag('single_word', false),
    lstrip: fields.flag('lstrip', false),
    rstrip: fields.flag('rstrip', false),
  };
}

/** A special token of which only the text is known. */
const specialToken = (content: string): AddedToken => ({
  ...{content, special: true, normalized: false, single_word: false, lstrip: false, rstrip: false},
});

/**
 * The tokens to add to those of tokenizer.json. The order and the precedence are transformers': `added_tokens_decoder`,
 * which may change tokens of tokenizer.json; then, unless there are such tokens already, named special tokens and
 * those of `extra_special_tokens` or, as it was called before, `additional_special_tokens`.
 * @param own the tokens of tokenizer.json
 * @throws Error naming the file, the field and what is wrong with it
 */
export function readSpecialTokens(config: Fields, own: readonly AddedToken[]): AddedToken[] {
  const named = namesOf(config).flatMap((name): AddedToken[] => {
    const content = contentOf(config.values[name]);
    if (content === undefined) return [];
    return [
      typeof config.values[name] === 'object'
        ? readAddedToken(config.object(name)!, true)
        : specialToken(content),
    ];
  });
  const names = new Set(named.map(({content}) => content));
  const described = (readAddedTokensDecoder(config) ?? []).map((token) => ({
    ...token,
    special: token.special || names.has(token.content),
  }));
  const list = config.has('extra_special_tokens') ? 'extra_special_tokens' : 'additional_special_tokens';
  const extra = Array.isArray(config.values[list])
    ? config
        .list(list, 'a list of tokens', (token) => contentOf(token) !== undefined)
        .map((token) => specialToken(contentOf(token)!))
    : [];
  const known = new Set([...own, ...described].map(({content}) => content));
  return [...described, ...[...named, ...extra].filter(({content}) => !known.has(content))];
}

/** `bos_token` and the like, and fields of other names that end in `_token` and hold a text. */
function namesOf(config: Fields): string[] {
  const others = Object.keys(config.values).filter(
    (name) => name.endsWith('_token') && !NAMES.includes(name) && typeof config.values[name] === 'string',
  );
  return [...NAMES, ...others];
}

/** The tokens of `added_tokens_decoder` in the order of their ids; undefined if there is none. */
function readAddedTokensDecoder(config: Fields): AddedToken[] | undefined {
  const decoder = config.object('added_tokens_decoder');
  if (!decoder) return undefined;
  return Object.keys(decoder.values)
    .map((id) => {
      const token = decoder.object(id);
      if (!/^\d+$/.test(id) || !token)
        throw config.error('added_tokens_decoder', 'an object of tokens by id');
      return {id: Number(id), token: readAddedToken(token)};
    })
    .sort((a, b) => a.id - b.id)
    .map(({token}) => token);
}
