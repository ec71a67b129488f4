/** Draws pictures from Vega or Vega-Lite specifications as SVG text, without a browser and all in one style. */
import type {Config, Spec} from 'vega';
import type {TopLevelSpec} from 'vega-lite';

import {
  BOLD,
  FONT,
  FONT_SIZE,
  INK,
  TITLE_SIZE,
  escape,
  printable,
  textWidth,
  type Svg,
  type Words,
} from './svg.js';
import {importVega, importVegaLite} from './vega.js';

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
  const lite = await importVegaLite();
  const {logger} = await importVega();
  const strict = Object.assign(logger(), {
    warn: (...problems: unknown[]) => {
      throw new Error(`[report] '${words.title}' cannot be drawn: ${problems.join(' ')}`);
    },
  });
  const config = {...STYLE, aria: false, view: {stroke: null}} as TopLevelSpec['config'];
  return draw(lite.compile({...spec, config} as TopLevelSpec, {logger: strict}).spec, words);
}

/** Draws a Vega specification in the style of the reports. */
export async function draw(spec: Spec, {title, description}: Words): Promise<Svg> {
  const vega = await importVega();
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
