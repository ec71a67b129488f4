/** What a figure is made of, and the numbers' forms. */
import type {Svg} from './draw.js';

export interface Panel {
  /** Of its file in `figures/`, without the ending. */
  name: string;
  svg: Svg;
}

export interface Table {
  title: string;
  /** The first column is words, the others are numbers. */
  head: string[];
  rows: string[][];
}

export interface Figure {
  id: string;
  title: string;
  /** What is to be seen and how it was made; a paragraph each. */
  notes: string[];
  panels: Panel[];
  tables: Table[];
  /** A text whose words are shaded: how much, from 0 to 1; undefined: not at all. */
  passage?: {note: string; words: {text: string; shade?: number}[]};
}

/** What could not be drawn. */
export interface Missing {
  /** The figure, or a part of it. */
  figure: string;
  /** Why. */
  reason: string;
  /** What makes the data. */
  command: string;
}

/** Figures have parts of their own data: some may be there and some not. */
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

/** To so many significant digits, without an exponent. */
export function significant(value: number | undefined, digits = 3): string {
  if (value === undefined) return '';
  const rounded = Number(value.toPrecision(digits));
  return Math.abs(rounded) >= 1000 ? grouped(rounded) : String(rounded);
}

/** 12,345 */
export function grouped(value: number): string {
  return value.toLocaleString('en-US', {maximumFractionDigits: 0});
}

/** 2048 as 2K, as the axes have it. */
export function binary(value: number): string {
  return value >= 1024 && value % 1024 === 0 ? `${value / 1024}K` : grouped(value);
}

/** A part of a file's name. */
export function fileName(name: string): string {
  return (
    name
      .replace(/[^A-Za-z0-9.-]+/g, '-')
      .replace(/^[-.]+|[-.]+$/g, '')
      .toLowerCase() || 'unnamed'
  );
}
