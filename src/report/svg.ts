/** Pictures as SVG text: their colours and letters, the width of words, and the escaping of texts from data. */

/**
 * A picture as SVG text. It is drawn in `currentColor`, so that it takes the text colour of the page around it, light
 * or dark.
 */
export type Svg = string;

/** What a screen reader says of a picture. */
export interface Words {
  /** A few words. */
  title: string;
  /** What there is to see, for readers who do not see it. */
  description: string;
}

/** The palette of Okabe and Ito, which people with any colour vision can tell apart, on white and on black. */
export const COLOURS = {
  blue: '#0072b2',
  vermilion: '#d55e00',
  green: '#009e73',
  pink: '#cc79a7',
  sky: '#56b4e9',
  orange: '#e69f00',
  grey: '#8a8a8a',
} as const;

export const INK = 'currentColor';
export const FONT = 'Helvetica, Arial, sans-serif';
export const FONT_SIZE = 12;
/** Titles are bold. */
export const TITLE_SIZE = 13;
/** How much wider bold text is. */
export const BOLD = 1.15;

/** Gives the picture dark ink on a white ground, for a file that no page surrounds. */
export function standalone(svg: Svg): string {
  return svg.replace(/^<svg /, '<svg style="color:#1c1c1c;background:#fff" ');
}

/** Escapes a text for the content and the quoted attributes of HTML and SVG elements. */
export function escape(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return printable(text).replace(/[&<>"']/g, (character) => entities[character]);
}

/** Replaces characters that XML does not allow, even escaped, by the replacement character U+FFFD. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd');
}

/**
 * Estimates the width of the longest line in pixels, rather too wide than too narrow, since a reader may have another
 * font.
 */
export function textWidth(text: string, fontSize: number = FONT_SIZE): number {
  const em = (letter: string) => {
    if (/[ilj.,:;'| ]/.test(letter)) return 0.34;
    return /[a-z0-9!-~]/.test(letter) && !/[A-Zmw@%]/.test(letter) ? 0.64 : 0.9;
  };
  const ems = (line: string) => [...line].reduce((sum, letter) => sum + em(letter), 0);
  return fontSize * Math.max(...text.split('\n').map(ems));
}

/** Puts a text on one line and cuts its end off with an ellipsis where it is wider than `width` pixels. */
export function shorten(words: string, width: number, fontSize: number = FONT_SIZE): string {
  const text = words.replace(/\s+/g, ' ');
  if (textWidth(text, fontSize) <= width) return text;
  const letters = [...text];
  while (letters.length > 0 && textWidth(`${letters.join('')}…`, fontSize) > width) letters.pop();
  return `${letters.join('')}…`;
}

/** Shortens the title of a picture, which is bold and larger than other text. */
export function shortenTitle(words: string, width: number): string {
  return shorten(words, width, BOLD * TITLE_SIZE);
}
