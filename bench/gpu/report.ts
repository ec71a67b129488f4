/** What a bench reports: rows with their floor and their peers, as JSON and as tables. */
import {readFileSync} from 'node:fs';

import {round} from '../statistics.js';

/** What others take for the same work: microseconds by their names and by our rows' ids. */
export interface Peers {
  machine: string;
  date: string;
  source: string;
  us: Record<string, Record<string, number>>;
}

export function readPeers(file: string): Peers {
  const peers = JSON.parse(readFileSync(file, 'utf8')) as Peers;
  if (typeof peers.us !== 'object') throw new Error(`[bench] ${file} must hold peers' figures in 'us'`);
  return peers;
}

export interface Row {
  /** section/model or kind/shape */
  id: string;
  us: number;
  /** Bytes that must move over the bandwidth measured in this run. */
  floorUs?: number;
  /** us / floorUs */
  timesFloor?: number;
  /** By peer. */
  peerUs?: Record<string, number>;
  /** us of the fastest peer / us */
  timesFaster?: number;
  [extra: string]: string | number | Record<string, number> | undefined;
}

export interface Section {
  name: string;
  /** What was done, in a sentence or two. */
  note: string;
  rows: Row[];
}

/** Makes rows: knows the bandwidth and the peers. */
export class Report {
  /** Bytes a microsecond, once it was measured. */
  bandwidth = NaN;

  constructor(readonly peers: Peers) {}

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

/** The section as Markdown. */
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
