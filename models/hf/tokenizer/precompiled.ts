/**
 * SentencePiece's precompiled character map: a double-array trie of the texts to replace, and the texts that replace
 * them (https://github.com/google/sentencepiece, normalizer.cc; the trie is darts-clone's).
 */
import type {Fields} from '../json_file.js';

const graphemes = new Intl.Segmenter('en', {granularity: 'grapheme'});

/** Bytes of a grapheme from which on it is replaced character by character only. */
const LARGE = 6;

/** Graphemes whose normalised form is remembered, at most. */
const REMEMBERED = 10_000;
/**
 * ASCII characters of which each is a grapheme, because an ASCII character or nothing comes next; or other characters,
 * with the ASCII characters beside them. Finding graphemes is slow, and most texts are ASCII.
 */
const ASCII_OR_NOT = /([ -~]+(?=[ -~]|$))|(?:[ -~]?[^ -~]+)+[ -~]?/g;

/**
 * The normalizer of a part whose `precompiled_charsmap` is a map in base 64.
 * @throws Error if it is none
 */
export function readCharacterMap(part: Fields): (text: string) => string {
  const bytes = Buffer.from(part.text('precompiled_charsmap'), 'base64');
  const size = bytes.length >= 4 ? bytes.readUInt32LE(0) : 0;
  if (size % 4 !== 0 || size > bytes.length - 4) throw part.error('precompiled_charsmap', 'a character map');
  const units = Array.from({length: size / 4}, (_, i) => bytes.readUInt32LE(4 + 4 * i));
  const replacements = bytes.subarray(4 + size);

  const replacementOf = (text: string): string | undefined => {
    const offset = shortestMatch(units, Buffer.from(text, 'utf8'));
    if (offset === undefined) return undefined;
    const end = replacements.indexOf(0, offset);
    return replacements.toString('utf8', offset, end < 0 ? replacements.length : end);
  };
  const remembered = new Map<string, string>();
  const normalize = (grapheme: string): string => {
    const known = remembered.get(grapheme);
    if (known !== undefined) return known;
    const whole = Buffer.byteLength(grapheme) < LARGE ? replacementOf(grapheme) : undefined;
    const normalized =
      whole ?? Array.from(grapheme, (character) => replacementOf(character) ?? character).join('');
    if (remembered.size < REMEMBERED) remembered.set(grapheme, normalized);
    return normalized;
  };
  return (text) =>
    text.replace(ASCII_OR_NOT, (run, ascii: string | undefined) => {
      let normalized = '';
      if (ascii !== undefined) for (const character of ascii) normalized += normalize(character);
      else for (const {segment} of graphemes.segment(run)) normalized += normalize(segment);
      return normalized;
    });
}

/** The value of the shortest text of the trie with which `key` begins, as Hugging Face's tokenizers look it up. */
function shortestMatch(units: readonly number[], key: Uint8Array): number | undefined {
  const offsetOf = (unit: number) => (unit >>> 10) << ((unit & (1 << 9)) >>> 6);
  let at = 0;
  if (units.length === 0) return undefined;
  at ^= offsetOf(units[at]);
  for (const byte of key) {
    if (byte === 0) return undefined;
    at ^= byte;
    const unit = units[at] ?? 0;
    if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
    at ^= offsetOf(unit);
    if ((unit >>> 8) & 1) return (units[at] ?? 0) & 0x7fffffff;
  }
  return undefined;
}
