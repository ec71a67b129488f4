/** Results of evaluations as Markdown tables, padded so that they are readable in a terminal, too. */
import type {PasskeyRecord} from './passkey.js';
import type {MethodResult} from './result.js';

const percent = (share: number, digits = 1) => `${(100 * share).toFixed(digits)}%`;

export function resultTable(results: readonly MethodResult[]): string {
  const signed = (share: number) => `${share < 0 ? '' : '+'}${percent(share, 2)}`;
  const hasErrors = results.some(({changeError}) => changeError);
  const head = ['method', 'perplexity', 'change', ...(hasErrors ? ['±'] : [])];
  head.push('KV reduction', 'all layers', 'with metadata');
  head.push('kB a token', 'agreement', 'accepted', 'greedy');
  const rows = results.map((result) => [
    result.method,
    result.perplexity.toFixed(3),
    signed(result.change),
    ...(hasErrors ? [result.changeError ? percent(result.changeError, 2) : ''] : []),
    percent(result.kvReduction),
    percent(result.kvReductionAll),
    percent(result.readReduction),
    (result.bytesPerToken / 1000).toFixed(0),
    percent(result.agreement),
    result.acceptance ? result.acceptance.sampledLength.toFixed(2) : '',
    result.acceptance ? result.acceptance.greedyLength.toFixed(2) : '',
  ]);
  return table(head, rows);
}

/**
 * A row for each kind of passkey, length and method: the share of passkeys found at each depth and at all depths, and
 * of answer tokens found.
 */
export function passkeyTable(records: readonly PasskeyRecord[]): string {
  const depths = [...new Set(records.map(({depth}) => depth))];
  const head = ['method', 'key', 'length', ...depths.map((depth) => `at ${percent(depth, 0)}`)];
  head.push('found', 'tokens', 'KV reduction');
  const rows = new Map<string, PasskeyRecord[]>();
  for (const record of records) {
    const name = JSON.stringify([record.key, record.length, record.method]);
    rows.set(name, [...(rows.get(name) ?? []), record]);
  }
  const share = (of: PasskeyRecord[], part: keyof PasskeyRecord, all: keyof PasskeyRecord) => {
    const sum = (name: keyof PasskeyRecord) => of.reduce((total, record) => total + Number(record[name]), 0);
    return percent(sum(part) / sum(all), 0);
  };
  return table(
    head,
    [...rows.values()].map((of) => [
      of[0].method,
      of[0].key,
      String(of[0].length),
      ...of.map((record) => share([record], 'correct', 'total')),
      share(of, 'correct', 'total'),
      share(of, 'correctTokens', 'totalTokens'),
      percent(of.reduce((sum, {kvReduction}) => sum + kvReduction, 0) / of.length),
    ]),
  );
}

function table(head: readonly string[], rows: readonly string[][]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length), 3));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}
