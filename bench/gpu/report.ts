/**
 * What `bench:gpu` reports: measured rows beside a floor (the least time that memory bandwidth allows) and beside the
 * times of peers (other projects that do the same work), as JSON and as Markdown tables.
 */
import {readFileSync} from 'node:fs';

import {round} from '../statistics.js';

/** Times of other projects for the same work: peers.json, or the output of peers.py. */
export interface Peers {
  machine: string;
  date: string;
  source: string;
  /** Microseconds by the peer's name, then by the id of our row. */
  us: Record<string, Record<string, number>>;
}

/** @throws Error if `file` cannot be read, is no JSON or has no table `us` */
export function readPeers(file: string): Peers {
  const peers = JSON.parse(readFileSync(file, 'utf8')) as Peers;
  if (typeof peers.us !== 'object') throw new Error(`[bench] ${file} must hold peers' figures in 'us'`);
  return peers;
}

/** One measurement. */
export interface Row {
  /** section/model or kind/shape */
  id: string;
  /** Time in microseconds. */
  us: number;
  /** Floor in microseconds: the bytes that must move, divided by the bandwidth that this run measured. */
  floorUs?: number;
  /** us / floorUs. */
  timesFloor?: number;
  /** Microseconds of each peer that measured this row. */
  peerUs?: Record<string, number>;
  /** Time of the fastest peer / us. */
  timesFaster?: number;
  [extra: string]: string | number | Record<string, number> | undefined;
}

export interface Section {
  name: string;
  /** What was measured and how, in a few sentences. */
  note: string;
  rows: Row[];
}

/** Makes rows from times: adds the floor by the measured bandwidth, and the peers' times. */
export class Report {
  /** Bytes per microsecond; NaN until the section `bandwidth` has measured it. */
  bandwidth = NaN;

  constructor(readonly peers: Peers) {}

  /**
   * @param us time in microseconds
   * @param bytes the bytes that must move; undefined leaves the floor out
   * @param extra further columns
   */
  row(id: string, us: number, bytes?: number, extra: Record<string, number> = {}): Row {
    const peerUs = Object.fromEntries(
      Object.entries(this.peers.us).flatMap(([peer, table]) => (id in table ? [[peer, table[id]]] : [])),
    );
    const fastest = Math.min(...Object.values(peerUs));
    const floorUs = bytes === undefined ? undefined : bytes / this.bandwidth;
    return {
      id,
      us: round(us, 4),
      ...(floorUs !== undefined && {floorUs: round(floorUs), timesFloor: round(us / floorUs)}),
      ...(Number.isFinite(fastest) && {peerUs, timesFaster: round(fastest / us)}),
      ...extra,
    };
  }
}

/** Column titles of the tables; other columns have their key as title. */
const TITLES: Record<string, string> = {
  us: 'µs',
  floorUs: 'floor µs',
  timesFloor: '× floor',
  peerUs: 'peers µs',
  timesFaster: 'faster than peer ×',
};

function cell(value: Row[string]): string {
  if (value === undefined) return '';
  if (typeof value !== 'object') return String(value);
  return Object.entries(value)
    .map(([name, number]) => `${name} ${number}`)
    .join('; ');
}

/** The section as Markdown: its note, and a table of its rows. */
export function markdown({name, note, rows}: Section): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [
    `## ${name}`,
    '',
    note,
    '',
    line(columns.map((column) => TITLES[column] ?? column)),
    line(columns.map((_, i) => (i === 0 ? '---' : '--:'))),
    ...rows.map((row) => line(columns.map((column) => cell(row[column])))),
    '',
  ].join('\n');
}
