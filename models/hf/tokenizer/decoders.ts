/** Decoders of tokenizer.json: from tokens back to text. */
import type {Fields} from '../json_file.js';
import {byteOfToken, fromByteCharacters, strictTextOf, textOf} from './bytes.js';
import {readPattern, replaceAll} from './pattern.js';

/** The tokens' text in pieces, which are joined at the end. */
export type Decoder = (tokens: readonly string[]) => string[];

const REPLACEMENT = '\ufffd';

/** @throws Error if the part is of a kind that does not exist, or has a field that is not as it should be */
export function readDecoder(part: Fields): Decoder {
  const type = part.text('type');
  switch (type) {
    case 'Sequence': {
      const decoders = part.objects('decoders').map(readDecoder);
      return (tokens) => decoders.reduce((decoded, decoder) => decoder(decoded), [...tokens]);
    }
    case 'ByteLevel':
      return (tokens) => [textOf(Buffer.concat(tokens.map(fromByteCharacters)))];
    case 'ByteFallback':
      return byteFallback;
    case 'Fuse':
      return (tokens) => [tokens.join('')];
    case 'Replace': {
      const pattern = readPattern(part);
      const content = part.text('content');
      return (tokens) => tokens.map((token) => replaceAll(pattern, token, content));
    }
    case 'Strip':
      return strip(part.text('content'), part.whole('start', 0, 0), part.whole('stop', 0, 0));
    case 'Metaspace': {
      const replacement = part.text('replacement', '▁');
      const scheme = part.text('prepend_scheme', part.flag('add_prefix_space', true) ? 'always' : 'never');
      const first = scheme === 'never' ? ' ' : '';
      return (tokens) => tokens.map((token, i) => token.replaceAll(replacement, i === 0 ? first : ' '));
    }
    case 'WordPiece':
      return wordPiece(part.text('prefix', '##'), part.flag('cleanup', true));
    case 'BPEDecoder': {
      const suffix = part.text('suffix', '</w>');
      return (tokens) =>
        tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' '));
    }
    case 'CTC':
      return ctc(part);
    default:
      throw new Error(`there is no decoder of type ${type}`);
  }
}

/** Whether a decoder, or one of its parts, takes tokens like `<0x0A>` for bytes. */
export function hasByteFallback(part: Fields | undefined): boolean {
  if (!part) return false;
  return (
    part.text('type') === 'ByteFallback' ||
    (part.has('decoders') && part.objects('decoders').some(hasByteFallback))
  );
}

/** A run of byte tokens is decoded as a whole. If it is no UTF-8, each of its bytes gives U+FFFD, good ones too. */
function byteFallback(tokens: readonly string[]): string[] {
  const decoded: string[] = [];
  let run: number[] = [];
  const endRun = () => {
    if (run.length === 0) return;
    decoded.push(strictTextOf(Uint8Array.from(run)) ?? REPLACEMENT.repeat(run.length));
    run = [];
  };
  for (const token of tokens) {
    const byte = byteOfToken(token);
    if (byte !== undefined) {
      run.push(byte);
    } else {
      endRun();
      decoded.push(token);
    }
  }
  endRun();
  return decoded;
}

/** Removes up to `start` times `content` at each token's beginning and up to `stop` times at its end. */
function strip(content: string, start: number, stop: number): Decoder {
  return (tokens) =>
    tokens.map((token) => {
      const characters = [...token];
      let from = 0;
      while (from < Math.min(start, characters.length) && characters[from] === content) from++;
      let to = characters.length;
      while (to > from && characters.length - to < stop && characters[to - 1] === content) to--;
      return characters.slice(from, to).join('');
    });
}

function wordPiece(prefix: string, cleansUp: boolean): Decoder {
  return (tokens) =>
    tokens.map((token, i) => {
      let text = token;
      if (i > 0) text = token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      return cleansUp ? cleanUp(text) : text;
    });
}

/** Takes out spaces that English does not have. */
function cleanUp(text: string): string {
  return text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}

/** Equal tokens in a row count as one. */
function ctc(part: Fields): Decoder {
  const pad = part.text('pad_token', '<pad>');
  const delimiter = part.text('word_delimiter_token', '|');
  const cleansUp = part.flag('cleanup', true);
  return (tokens) =>
    tokens
      .filter((token, i) => token !== tokens[i - 1])
      .map((token) => {
        const text = token.replaceAll(pad, '');
        return cleansUp ? cleanUp(text).replaceAll(delimiter, ' ') : text;
      });
}
