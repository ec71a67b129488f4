/** Line charts in which the name of each line stands beside its last point. */
import type {TopLevelSpec} from 'vega-lite';

import {drawLite} from './draw.js';
import {FONT, FONT_SIZE, INK, shorten, shortenTitle, type Svg, type Words} from './svg.js';
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
  /** Size of the plot in pixels. */
  size?: Size;
}

interface Size {
  width: number;
  height: number;
}

const SIZE: Size = {width: 300, height: 230};

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
  {series, reference, margin}: Chart,
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
      ...(last
        ? [{x: last.x, y: last.y, text: shorten(name, room.right - last.x - 10), required: true}]
        : []),
    ];
  });
  if (reference)
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

/** The ends of a linear axis that holds the values: round numbers a little outside them. */
export function around(values: readonly number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = Math.max(high - low, 1e-3 * Math.max(Math.abs(low), Math.abs(high))) || 1;
  const unit = 10 ** Math.floor(Math.log10(span)) / 2;
  return [Math.floor((low - 0.05 * span) / unit) * unit, Math.ceil((high + 0.05 * span) / unit) * unit];
}

/** The ends of a linear axis from 0 to a round number a little above the values. */
export function fromZero(values: readonly number[]): [number, number] {
  const most = Math.max(...values);
  if (!(most > 0)) return [0, 1];
  const unit = 10 ** Math.floor(Math.log10(most));
  const round = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((factor) => factor * unit >= 1.02 * most) ?? 12;
  return [0, round * unit];
}

/**
 * A logarithmic axis that holds the values. Its ticks are 1, 2 and 5 times powers of ten; over more than three decades
 * only the powers of ten, over a short range also numbers between.
 * @param wider how far the axis goes beyond the values, as a factor
 */
export function logarithmic(
  values: readonly number[],
  wider = 1.15,
): {domain: [number, number]; ticks: number[]} {
  const [low, high] = [Math.min(...values) / wider, Math.max(...values) * wider];
  const decades = Math.log10(high / low);
  const factors = decades > 3 ? [1] : decades > 0.7 ? [1, 2, 5] : [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const factor of factors) {
      const tick = Number((factor * 10 ** power).toPrecision(12));
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  return {domain: [low, high], ticks};
}
