/** How every picture is drawn: Vega or Vega-Lite to SVG text, without a browser, in one style. */
import type {Config, Spec} from 'vega';
import type {TopLevelSpec} from 'vega-lite';

/** A picture as SVG text. Its ink is `currentColor`, so that a page's light or dark ink is the picture's. */
export type Svg = string;

export interface Words {
  /** In a few words. */
  title: string;
  /** What there is to see, for those who do not see it. */
  description: string;
}

/** Of Okabe and Ito: told apart by all kinds of colour vision, on white and on black. */
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

/** Vega-Lite; all of it drawn in one style. */
export async function drawLite(spec: TopLevelSpec, words: Words): Promise<Svg> {
  const lite = await import('vega-lite');
  const {logger} = await import('vega');
  // What Vega-Lite does not draw as it was told is not drawn at all.
  const strict = Object.assign(logger(), {
    warn: (...problems: unknown[]) => {
      throw new Error(`[report] '${words.title}' cannot be drawn: ${problems.join(' ')}`);
    },
  });
  const config = {...STYLE, aria: false, view: {stroke: null}} as TopLevelSpec['config'];
  return draw(lite.compile({...spec, config} as TopLevelSpec, {logger: strict}).spec, words);
}

/** Vega; both libraries are ES modules, loaded when something is to be drawn. */
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

/** The picture as a file of its own, which has no page to take ink and paper from. */
export function standalone(svg: Svg): string {
  return svg.replace(/^<svg /, '<svg style="color:#1c1c1c;background:#fff" ');
}

/** For text and quoted attributes of HTML and of SVG. */
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

/** What XML has no place for, escaped or not, is shown as unknown. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd');
}

interface TextMetrics {
  width: (item: {fontSize?: number; fontWeight?: string | number}, text: unknown) => number;
}

/** Pictures being drawn, and what measured text before the first of them. */
let drawing = 0;
let before: TextMetrics['width'];

/** Vega's own estimate, where there is no canvas, is a third too wide: pictures would have empty margins. */
function measureBy(metrics: TextMetrics): () => void {
  if (drawing++ === 0) before = metrics.width;
  metrics.width = ({fontSize = 11, fontWeight}, text) =>
    textWidth(Array.isArray(text) ? text.join('\n') : String(text), fontSize) *
    (fontWeight === 'bold' ? BOLD : 1);
  return () => {
    if (--drawing === 0) metrics.width = before;
  };
}

/** Of the longest line, in pixels, on the safe side: the page's reader may have another font. */
export function textWidth(text: string, fontSize: number = FONT_SIZE): number {
  const em = (letter: string) => {
    if (/[ilj.,:;'| ]/.test(letter)) return 0.34;
    return /[a-z0-9!-~]/.test(letter) && !/[A-Zmw@%]/.test(letter) ? 0.64 : 0.9;
  };
  const ems = (line: string) => [...line].reduce((sum, letter) => sum + em(letter), 0);
  return fontSize * Math.max(...text.split('\n').map(ems));
}

/** In one line, and its beginning alone where that is wider than so many pixels. */
export function shorten(words: string, width: number, fontSize: number = FONT_SIZE): string {
  const text = words.replace(/\s+/g, ' ');
  if (textWidth(text, fontSize) <= width) return text;
  const letters = [...text];
  while (letters.length > 0 && textWidth(`${letters.join('')}…`, fontSize) > width) letters.pop();
  return `${letters.join('')}…`;
}

/** The same for a picture's title. */
export function shortenTitle(words: string, width: number): string {
  return shorten(words, width, BOLD * TITLE_SIZE);
}
