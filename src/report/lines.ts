/** Line charts in which the name of each line stands beside its last point. */
import type {TopLevelSpec} from 'vega-lite';

import {drawLite} from './draw.js';
import {FONT, FONT_SIZE, INK, shorten, shortenTitle, type Svg, type Words} from './svg.js';
import type {Panel} from './figure.js';
import {placeLabels, type Label, type Place} from './labels.js';

export interface Point {
  x: number;
  y: number;
  /** Written beside the point where there is room. */
  label?: string;
  /** Half the length of the point's error bar, in units of y. */
  error?: number;
}

export interface Series {
  name: string;
  colour: string;
  dashed?: boolean;
  /** Whether the line has no dots, because it shows a bound and not measurements. */
  bare?: boolean;
  /** Points in the order in which the line joins them. */
  points: Point[];
}

export interface Axis {
  /** The title with the unit. */
  title: string;
  scale: 'linear' | 'log';
  domain: [number, number];
  /** Default: Vega chooses. */
  ticks?: number[];
  /** `number`: as it is; `percent`: 0.2 as 20%; `binary`: 2048 as 2K; `times`: 2 as 2 ×. Default `number`. */
  format?: 'number' | 'percent' | 'binary' | 'times';
}

export interface Chart extends Words {
  x: Axis;
  y: Axis;
  series: Series[];
  /** A horizontal line to compare with. */
  reference?: {y: number; name: string};
  /** Pixels right of the plot for the names of the lines. */
  margin: number;
  /** Where the names of the lines stand: beside their last points, the default, or in a list below the plot. */
  names?: 'beside' | 'below';
  /** Size of the plot in pixels. */
  size?: Size;
}

interface Size {
  width: number;
  height: number;
}

const SIZE: Size = {width: 300, height: 230};

/** Pixels left of a plot, for the labels and the title of its axis. */
const AXIS = 60;
/** Whole width of a picture, and height of its plot, on the page and in a narrow window. */
const SPANS = {
  page: {outer: 1080, height: 400},
  half: {outer: 520, height: 260},
  narrow: {outer: 344, height: 260},
};
/** Pixels from the plot down to the first name below it, and from one such name to the next. */
const [FIRST_NAME, NEXT_NAME] = [56, 18];

/**
 * Draws a chart for a page, once for its width and once for narrow windows.
 * @param span how much of the page's width the picture takes
 */
export async function drawPanel(
  name: string,
  chart: Omit<Chart, 'size' | 'names'>,
  span: 'page' | 'half',
): Promise<Panel> {
  const of = ({outer, height}: {outer: number; height: number}, more: Pick<Chart, 'margin' | 'names'>) =>
    drawLines({...chart, ...more, size: {width: outer - AXIS - more.margin, height}});
  return {
    name,
    span,
    svg: await of(SPANS[span], {margin: chart.margin, names: 'beside'}),
    narrow: await of(SPANS.narrow, {margin: 10, names: 'below'}),
  };
}

/** @throws Error where there is nothing to draw, or a number is not finite */
export async function drawLines(chart: Chart): Promise<Svg> {
  check(chart);
  const {x, y, series, reference, margin, size = SIZE} = chart;
  const title = shortenTitle(chart.title, size.width + margin);
  const at = (point: Place): Place => ({
    x: size.width * share(point.x, x),
    y: size.height * (1 - share(point.y, y)),
  });
  const layers = [
    ...series.map(line).map((layer, i) => (i === 0 ? withAxes(layer, x, y) : layer)),
    ...(reference ? [rule(reference.y)] : []),
    ...series.flatMap((one) => (one.points.some(({error}) => error) ? [errors(one, y)] : [])),
    ...series.filter(({bare}) => !bare).map(dots),
    words(chart, size, at),
    ...(chart.names === 'below' ? list(chart, size) : []),
  ];
  const spec = {
    ...size,
    padding: {left: 4, top: 4, bottom: 4, right: 4},
    title: {text: title, anchor: 'start', frame: 'group', offset: 10},
    layer: layers,
  };
  return drawLite(spec as unknown as TopLevelSpec, chart);
}

function check({title, series}: Chart): void {
  if (series.length === 0 || series.some(({points}) => points.length === 0))
    throw new Error(`[report] '${title}' must have points in every line`);
  for (const {name, points} of series)
    if (!points.every(({x, y}) => Number.isFinite(x) && Number.isFinite(y)))
      throw new Error(`[report] '${title}' must have finite points in '${name}'`);
}

/** Where a value lies between the ends of the axis: 0 at the lower end, 1 at the upper end. */
function share(value: number, {scale, domain}: Axis): number {
  const f = scale === 'log' ? Math.log : (v: number) => v;
  return (f(value) - f(domain[0])) / (f(domain[1]) - f(domain[0]));
}

type Layer = Record<string, unknown> & {encoding: Record<string, unknown>};

const FORMATS: Record<NonNullable<Axis['format']>, object> = {
  number: {},
  percent: {format: '.0%'},
  binary: {
    labelExpr:
      "datum.value >= 1024 && datum.value % 1024 == 0 ? datum.value / 1024 + 'K' : format(datum.value, ',')",
  },
  times: {labelExpr: "datum.value + ' ×'"},
};

function withAxes(layer: Layer, x: Axis, y: Axis): Layer {
  const axis = ({title, scale, domain, ticks, format = 'number'}: Axis, grid: boolean) => ({
    scale: {type: scale, domain, nice: false, ...(scale === 'linear' && {zero: false})},
    axis: {title, grid, ...(ticks ? {values: ticks} : {tickCount: 5}), ...FORMATS[format]},
  });
  const {encoding} = layer;
  return {
    ...layer,
    encoding: {
      ...encoding,
      x: {...(encoding.x as object | undefined), ...axis(x, false)},
      y: {...(encoding.y as object | undefined), ...axis(y, true)},
    },
  };
}

const quantity = (field: string) => ({field, type: 'quantitative'});

function line({colour, dashed, bare, points}: Series): Layer {
  return {
    data: {values: points},
    mark: {
      ...{type: 'line', color: colour, strokeWidth: bare ? 1.5 : 2, clip: true},
      ...(dashed && {strokeDash: [5, 3]}),
    },
    encoding: {x: quantity('x'), y: quantity('y'), order: {field: 'place', type: 'ordinal'}},
    transform: [{window: [{op: 'row_number', as: 'place'}]}],
  };
}

function dots({colour, points}: Series): Layer {
  return {
    data: {values: points},
    mark: {type: 'point', filled: true, color: colour, opacity: 1, size: 45},
    encoding: {x: quantity('x'), y: quantity('y')},
  };
}

/** Error bars. They are clipped to the plot, since a logarithmic axis cannot show values below its lower end. */
function errors({colour, points}: Series, {domain: [low, high]}: Axis): Layer {
  const values = points
    .filter(({error}) => error)
    .map(({x, y, error = 0}) => ({x, low: Math.max(low, y - error), high: Math.min(high, y + error)}));
  return {
    data: {values},
    mark: {type: 'rule', color: colour, strokeWidth: 1.5},
    encoding: {x: quantity('x'), y: quantity('low'), y2: {field: 'high'}},
  };
}

function rule(at: number): Layer {
  return {
    data: {values: [{y: at}]},
    mark: {type: 'rule', color: INK, strokeDash: [2, 3], opacity: 0.7},
    encoding: {y: quantity('y')},
  };
}

/** The labels of lines, points and the reference line. */
function words(
  {series, reference, margin, names}: Chart,
  {width, height}: Size,
  at: (place: Place) => Place,
): Layer {
  const room = {left: 0, right: width + margin, top: -8, bottom: height};
  const isInside = ({x, y}: Place) => x >= -1 && x <= width + 1 && y >= -1 && y <= height + 1;
  const labels: Label[] = series.flatMap(({name, points}) => {
    const places = points.map((point) => ({...at(point), label: point.label})).filter(isInside);
    const last = places.at(-1);
    return [
      ...places.flatMap(({x, y, label}) => (label ? [{x, y, text: label, required: false}] : [])),
      ...(last && names !== 'below'
        ? [{x: last.x, y: last.y, text: shorten(name, room.right - last.x - 10), required: true}]
        : []),
    ];
  });
  if (reference && names !== 'below')
    labels.push({x: width, y: at({x: 1, y: reference.y}).y, text: reference.name, required: true});
  const points = series.filter(({bare}) => !bare).flatMap((one) => one.points.map(at));
  const ends = ({x, y, error = 0}: Point) => [at({x, y: y - error}), at({x, y: y + error})];
  const bars = series.flatMap((one) => one.points.flatMap((point) => along(ends(point))));
  const lines = [...series.flatMap((one) => along(one.points.map(at))), ...bars];
  return {
    data: {values: placeLabels(labels, points, lines, room)},
    mark: {
      ...{type: 'text', color: INK, font: FONT, fontSize: FONT_SIZE, baseline: 'middle'},
      align: {expr: 'datum.align'},
    },
    encoding: {
      x: {...quantity('x'), scale: null},
      y: {...quantity('y'), scale: null},
      text: {field: 'text', type: 'nominal'},
    },
  };
}

/** The names of the lines below the plot, each after a piece of its line. */
function list({series, reference, margin}: Chart, {width, height}: Size): Layer[] {
  const entries: {name: string; mark: object}[] = [
    ...series.map(({name, colour, dashed}) => ({
      name,
      mark: {color: colour, strokeWidth: 2, ...(dashed && {strokeDash: [5, 3]})},
    })),
    ...(reference ? [{name: reference.name, mark: {color: INK, strokeDash: [2, 3], opacity: 0.7}}] : []),
  ];
  const pixels = (field: string) => ({...quantity(field), scale: null});
  return entries.flatMap(({name, mark}, i): Layer[] => {
    const y = height + FIRST_NAME + i * NEXT_NAME;
    const text = shorten(name, width + margin - 28);
    return [
      {
        data: {values: [{from: 0, to: 20, y}]},
        mark: {type: 'rule', ...mark},
        encoding: {x: pixels('from'), x2: {field: 'to'}, y: pixels('y')},
      },
      {
        data: {values: [{x: 27, y, text}]},
        mark: {type: 'text', color: INK, font: FONT, fontSize: FONT_SIZE, baseline: 'middle', align: 'left'},
        encoding: {x: pixels('x'), y: pixels('y'), text: {field: 'text', type: 'nominal'}},
      },
    ];
  });
}

/** Places along a line, about 6 pixels apart. */
function along(points: Place[]): Place[] {
  return points.slice(1).flatMap((to, i) => {
    const from = points[i];
    const steps = Math.max(1, Math.round(Math.hypot(to.x - from.x, to.y - from.y) / 6));
    return Array.from({length: steps}, (_, s) => ({
      x: from.x + ((to.x - from.x) * s) / steps,
      y: from.y + ((to.y - from.y) * s) / steps,
    }));
  });
}
