/** What a benchmark measured, and how it is printed: a value never stands without its target, its spread and the load. */
import { cpus, loadavg, totalmem } from 'node:os';

export interface Row {
  readonly what: string;
  /** As architecture.md has it; `-` when there is none. */
  readonly target: string;
  /** Every single measurement. */
  readonly values: readonly number[];
  readonly unit: string;
  /** The same measured of something that only does what cannot be avoided, in the same run. */
  readonly floor?: { readonly what: string; readonly values: readonly number[] };
}

export interface Table {
  readonly name: string;
  readonly rows: readonly Row[];
  /** What a reader has to know to read the rows. */
  readonly notes: readonly string[];
  readonly load: { readonly before: number; readonly after: number };
}

/** Nearest rank. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

export const load = (): number => Math.round((loadavg()[0] ?? 0) * 10) / 10;

export function machine(): string {
  return `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, Linux loopback`;
}

const figure = (value: number): string =>
  Number.isNaN(value) ? '-' : value.toFixed(value !== 0 && Math.abs(value) < 10 ? 2 : 0);

const HEAD = ['what', 'target', 'min', 'p50', 'p99', 'max', 'unit', 'n', 'floor (p50)', 'p50 ÷ floor'];

function cells(row: Row): string[] {
  const { values, floor } = row;
  const below = floor === undefined ? Number.NaN : quantile(floor.values, 0.5);
  return [
    row.what,
    row.target,
    ...[0, 0.5, 0.99, 1].map((q) => figure(quantile(values, q))),
    row.unit,
    String(values.length),
    floor === undefined ? '' : `${figure(below)} ${floor.what}`,
    floor === undefined ? '' : figure(quantile(values, 0.5) / below),
  ];
}

export function print(table: Table, asMarkdown: boolean): string {
  const lines = [HEAD, ...table.rows.map(cells)];
  const under = `${cpus().length} cores, load average ${table.load.before} before and ${table.load.after} after`;
  if (asMarkdown) {
    const [head = [], ...rest] = lines.map((line) => `| ${line.join(' | ')} |`);
    const rule = `|${HEAD.map((_, index) => ((index >= 2 && index <= 5) || index === 7 ? '--:|' : '---|')).join('')}`;
    return [`### ${table.name}`, '', head, rule, ...rest, '', `${under}.`, ...table.notes.map((note) => `${note}.`), ''].join(
      '\n',
    );
  }
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const text = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return [`${table.name}: ${under}`, ...text.map((line) => `  ${line}`), ...table.notes.map((note) => `  ${note}`), ''].join(
    '\n',
  );
}
