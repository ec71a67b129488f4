/** The parts of a report's figures, and the formats of their numbers. */
import type {Svg} from './svg.js';

export interface Panel {
  /** Name of the picture's file in `figures/`, without the ending. */
  name: string;
  svg: Svg;
  /** The same for a window of a phone, whose letters would be too small in the picture above. */
  narrow?: Svg;
  /** How much of the page's width the picture takes; left out: what it was drawn with. */
  span?: 'page' | 'half' | 'third';
}

export interface Table {
  title: string;
  /** Column titles. The first column holds words, the others numbers. */
  head: string[];
  rows: string[][];
}

export interface Figure {
  id: string;
  title: string;
  /** Paragraphs that say what the figure shows and how it was measured. */
  notes: string[];
  panels: Panel[];
  tables: Table[];
  /** A text whose words are shaded, from 0 to 1; undefined: not shaded. */
  passage?: {note: string; words: {text: string; shade?: number}[]};
}

/** A figure that could not be drawn. */
export interface Missing {
  /** Title of the figure, or of a part of it. */
  figure: string;
  /** Why it could not be drawn. */
  reason: string;
  /** The command that makes the missing data. */
  command: string;
}

/** The outcome of drawing one figure. Parts of it may be drawn while the data of other parts are missing. */
export interface Drawn {
  figure?: Figure;
  missing: Missing[];
}

export function percent(share: number | undefined, digits = 1): string {
  return share === undefined ? '' : `${(100 * share).toFixed(digits)}%`;
}

export function signedPercent(share: number | undefined, digits = 2): string {
  if (share === undefined) return '';
  return `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(digits)}%`;
}

export function fixed(value: number | undefined, digits: number): string {
  return value === undefined ? '' : value.toFixed(digits);
}

/** The value with `digits` significant digits, without an exponent. */
export function significant(value: number | undefined, digits = 3): string {
  if (value === undefined) return '';
  const rounded = Number(value.toPrecision(digits));
  return Math.abs(rounded) >= 1000 ? grouped(rounded) : String(rounded);
}

/** The value with commas between thousands: 12,345. */
export function grouped(value: number): string {
  return value.toLocaleString('en-US', {maximumFractionDigits: 0});
}

/** Multiples of 1024 with a K: 2048 is 2K. */
export function binary(value: number): string {
  return value >= 1024 && value % 1024 === 0 ? `${value / 1024}K` : grouped(value);
}

/** Makes a name fit for a part of a file's name. */
export function fileName(name: string): string {
  return (
    name
      .replace(/[^A-Za-z0-9.-]+/g, '-')
      .replace(/^[-.]+|[-.]+$/g, '')
      .toLowerCase() || 'unnamed'
  );
}
