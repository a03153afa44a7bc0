import { formatYaml } from '#kube';

export const outputFormats = ['table', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** What a command writes to. Data goes to `out`, prose to `err`; neither is coloured unless it is a terminal. */
export interface Io {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly isTerminal: boolean;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

export interface Shown {
  readonly value: unknown;
  /** Text for people. */
  readonly table: () => string;
  /** `kind/name` lines for scripts. */
  readonly names: () => readonly string[];
}

export function show(io: Io, format: OutputFormat, shown: Shown): void {
  switch (format) {
    case 'json':
      io.out(`${JSON.stringify(shown.value, undefined, 2)}\n`);
      return;
    case 'yaml':
      io.out(formatYaml(shown.value));
      return;
    case 'name':
      for (const name of shown.names()) io.out(`${name}\n`);
      return;
    case 'table':
      io.out(shown.table());
  }
}

/** Columns padded to their widest cell, three blanks apart, as kubectl does it; the last column is never padded. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => printable(row[column] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? printable(cell) : printable(cell).padEnd(widths[column] ?? 0)))
      .join('   ')
      .trimEnd();
  return [line(header), ...rows.map(line)].map((text) => `${text}\n`).join('');
}

/** Text from clusters and Git may hold control characters and escape sequences; a terminal must not obey them. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- that is the point
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (c) =>
    c === '\n' || c === '\t' ? ' ' : '\uFFFD',
  );
}

/** `2m5s`, `3h`, `4d`: the age of a moment, in at most two units, as kubectl writes it. */
export function age(sinceRfc3339: string | undefined, nowMs: number): string {
  if (sinceRfc3339 === undefined) return '';
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(sinceRfc3339)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  return `${Math.floor(hours / 24)}d`;
}

/** `1 cluster`, `3 clusters`, `4,180 deliveries`. */
export function count(n: number, singular: string, plural = `${singular}s`): string {
  return `${n.toLocaleString('en-US')} ${n === 1 ? singular : plural}`;
}
