/** Bytes written as characters, as byte-level tokenizers do, and bytes read as UTF-8. */

/** The character that stands for each byte, by byte: the byte's own in Latin-1 if that is visible, else one past U+0100. */
const CHARACTER: readonly string[] = (() => {
  const isVisible = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
  let next = 256;
  return Array.from({length: 256}, (_, byte) => String.fromCharCode(isVisible(byte) ? byte : next++));
})();

/** The byte of each such character, by the character's code. */
const BYTE: readonly (number | undefined)[] = (() => {
  const bytes: (number | undefined)[] = [];
  CHARACTER.forEach((character, byte) => (bytes[character.charCodeAt(0)] = byte));
  return bytes;
})();

/** A text's UTF-8 bytes, each as a character. */
export function toByteCharacters(text: string): string {
  let characters = '';
  for (const byte of Buffer.from(text, 'utf8')) characters += CHARACTER[byte];
  return characters;
}

/** The bytes that a token's characters stand for; the token's own UTF-8 if one of its characters stands for none. */
export function fromByteCharacters(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE[token.charCodeAt(i)];
    if (byte === undefined) return Buffer.from(token, 'utf8');
    bytes[i] = byte;
  }
  return bytes;
}

/** Keeps a byte-order mark, which is a character of the text like any other. */
const lossy = new TextDecoder('utf-8', {ignoreBOM: true});
const strict = new TextDecoder('utf-8', {ignoreBOM: true, fatal: true});

/** Bytes as text. Each longest part of a character that is no whole one gives U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return lossy.decode(bytes);
}

/** Bytes as text; undefined if they are no UTF-8. */
export function strictTextOf(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The byte of a token like `<0x0A>`; undefined for other tokens. A sign before one digit counts, as in Rust. */
export function byteOfToken(token: string): number | undefined {
  const [, digits] = /^<0x(\+?[0-9A-Fa-f]{1,2})>$/.exec(token) ?? [];
  return digits?.length === 2 ? parseInt(digits, 16) : undefined;
}

/** The token, like `<0x0A>`, that stands for each byte in vocabularies with byte fallback, by byte. */
export const BYTE_TOKENS: readonly string[] = Array.from(
  {length: 256},
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);
