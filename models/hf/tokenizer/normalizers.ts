/** Normalizers of tokenizer.json: what happens to a text before it is split and encoded. */
import type {Fields} from '../json_file.js';
import {toByteCharacters} from './bytes.js';
import {readPattern, replaceAll} from './pattern.js';
import {readCharacterMap} from './precompiled.js';

export type Normalizer = (text: string) => string;

/** @throws Error if the part is of a kind that does not exist, or has a field that is not as it should be */
export function readNormalizer(part: Fields): Normalizer {
  const type = part.text('type');
  switch (type) {
    case 'Sequence':
      return inTurn(part.objects('normalizers').map(readNormalizer));
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => text.normalize(type);
    case 'Lowercase':
      return lowercase;
    case 'Strip':
      return strip(part.flag('strip_left'), part.flag('strip_right'));
    case 'StripAccents':
      return (text) => text.replace(/\p{M}/gu, '');
    case 'Prepend': {
      const prepend = part.text('prepend');
      return (text) => (text === '' ? text : prepend + text);
    }
    case 'Replace': {
      const pattern = readPattern(part);
      const content = part.text('content');
      return (text) => replaceAll(pattern, text, content);
    }
    case 'ByteLevel':
      return toByteCharacters;
    case 'Nmt':
      return nmt;
    case 'Precompiled':
      return readCharacterMap(part);
    case 'BertNormalizer':
      return bert(part);
    default:
      throw new Error(`there is no normalizer of type ${type}`);
  }
}

function inTurn(normalizers: readonly Normalizer[]): Normalizer {
  return (text) => normalizers.reduce((normalized, normalizer) => normalizer(normalized), text);
}

/** Rust maps character by character, where JavaScript writes a Σ at a word's end as ς. */
function lowercase(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase();
}

/** JavaScript's own `trim` takes U+FEFF for white space and U+0085 for none. */
function strip(left: boolean, right: boolean): Normalizer {
  return (text) => {
    const start = left ? text.replace(/^\p{White_Space}+/u, '') : text;
    return right ? start.replace(/(?<!\p{White_Space})\p{White_Space}+$/u, '') : start;
  };
}

function nmt(text: string): string {
  return (
    text
      // eslint-disable-next-line no-control-regex -- control characters are what it removes
      .replace(/[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/g, '')
      .replace(/[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, ' ')
  );
}

const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function bert(part: Fields): Normalizer {
  const lowercases = part.flag('lowercase');
  const steps: Normalizer[] = [];
  if (part.flag('clean_text'))
    steps.push((text) =>
      text.replace(/[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu, '').replace(/\p{White_Space}/gu, ' '),
    );
  if (part.flag('handle_chinese_chars')) steps.push((text) => text.replace(CHINESE, ' $& '));
  if (part.flag('strip_accents', lowercases))
    steps.push((text) => text.normalize('NFD').replace(/\p{Mn}/gu, ''));
  if (lowercases) steps.push(lowercase);
  return inTurn(steps);
}
