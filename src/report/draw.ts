/** Draws pictures from Vega or Vega-Lite specifications as SVG text, without a browser and all in one style. */
import type {Config, Spec} from 'vega';
import type {TopLevelSpec} from 'vega-lite';

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
const BOLD = 1.15;

const axis = {
  ...{labelColor: INK, titleColor: INK, domainColor: INK, tickColor: INK, gridColor: INK},
  ...{labelFont: FONT, titleFont: FONT, labelFontSize: FONT_SIZE, titleFontSize: FONT_SIZE},
  ...{gridOpacity: 0.14, domainOpacity: 0.6, tickOpacity: 0.6, titleFontWeight: 'normal' as const},
  titlePadding: 8,
};
const STYLE: Config = {
  background: 'transparent',
  axis,
  title: {color: INK, subtitleColor: INK, font: FONT, subtitleFont: FONT, fontSize: TITLE_SIZE},
  legend: {
    ...{labelColor: INK, titleColor: INK, labelFont: FONT, titleFont: FONT},
    ...{labelFontSize: FONT_SIZE, titleFontSize: FONT_SIZE, titleFontWeight: 'normal'},
  },
};

/**
 * Draws a Vega-Lite specification in the style of the reports.
 * @throws Error where Vega-Lite warns, since it then ignores a part of the specification
 */
export async function drawLite(spec: TopLevelSpec, words: Words): Promise<Svg> {
  const lite = await import('vega-lite');
  const {logger} = await import('vega');
  const strict = Object.assign(logger(), {
    warn: (...problems: unknown[]) => {
      throw new Error(`[report] '${words.title}' cannot be drawn: ${problems.join(' ')}`);
    },
  });
  const config = {...STYLE, aria: false, view: {stroke: null}} as TopLevelSpec['config'];
  return draw(lite.compile({...spec, config} as TopLevelSpec, {logger: strict}).spec, words);
}

/**
 * Draws a Vega specification in the style of the reports. Vega and Vega-Lite are ES modules, so they are imported when
 * needed.
 */
export async function draw(spec: Spec, {title, description}: Words): Promise<Svg> {
  const vega = await import('vega');
  const {textMetrics} = vega as unknown as {textMetrics: TextMetrics};
  const end = measureBy(textMetrics);
  const view = new vega.View(
    vega.parse({...spec, background: undefined}, {...STYLE, aria: false} as Config),
    {renderer: 'none'},
  );
  try {
    const svg = await view.toSVG();
    return printable(svg).replace(
      /^<svg ([^>]*)>/,
      (_, attributes: string) =>
        `<svg role="img" ${attributes}><title>${escape(title)}</title><desc>${escape(description)}</desc>`,
    );
  } finally {
    view.finalize();
    end();
  }
}

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
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd');
}

interface TextMetrics {
  width: (item: {fontSize?: number; fontWeight?: string | number}, text: unknown) => number;
}

/** How many pictures are being drawn. */
let drawing = 0;
/** Vega's own measure of text, to be restored when all pictures are drawn. */
let before: TextMetrics['width'];

/**
 * Makes Vega measure text by {@link textWidth}. Without a canvas its own estimate is a third too wide and leaves empty
 * margins.
 * @returns a function to call when the picture is drawn; the last such call restores Vega's measure
 */
function measureBy(metrics: TextMetrics): () => void {
  if (drawing++ === 0) before = metrics.width;
  metrics.width = ({fontSize = 11, fontWeight}, text) =>
    textWidth(Array.isArray(text) ? text.join('\n') : String(text), fontSize) *
    (fontWeight === 'bold' ? BOLD : 1);
  return () => {
    if (--drawing === 0) metrics.width = before;
  };
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
