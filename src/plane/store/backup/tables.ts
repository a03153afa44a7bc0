/** The tables of a backup, as both databases have them: name, and columns with their types on PostgreSQL. */
export interface Table {
  readonly name: string;
  readonly columns: readonly (readonly [name: string, type: 'text' | 'bigint' | 'bytea'])[];
  /** Rows of a page; blobs are large. */
  readonly page: number;
  /** Columns that order the rows, for reading in pages. */
  readonly key: readonly string[];
}

/**
 * Everything but the change log, which nobody goes on from after a restore, and what lives shorter than a process (posts,
 * writers). Labels and fields follow from `indexed`.
 */
export const tables: readonly Table[] = [
  {
    name: 'kinds',
    columns: [
      ['kind', 'text'],
      ['selectable', 'text'],
    ],
    page: 500,
    key: ['kind'],
  },
  {
    name: 'objects',
    columns: [
      ['kind', 'text'],
      ['namespace', 'text'],
      ['name', 'text'],
      ['revision', 'bigint'],
      ['indexed', 'text'],
      ['text', 'text'],
    ],
    page: 500,
    key: ['kind', 'namespace', 'name'],
  },
  {
    name: 'blobs',
    columns: [
      ['digest', 'bytea'],
      ['at', 'bigint'],
      ['bytes', 'bytea'],
    ],
    page: 100,
    key: ['digest'],
  },
  {
    name: 'issued',
    columns: [
      ['cluster', 'text'],
      ['digest', 'bytea'],
    ],
    page: 2_000,
    key: ['cluster', 'digest'],
  },
  {
    name: 'sealed',
    columns: [
      ['cluster', 'text'],
      ['equality', 'text'],
      ['digest', 'bytea'],
    ],
    page: 2_000,
    key: ['cluster', 'equality'],
  },
  {
    name: 'effects',
    columns: [
      ['id', 'bigint'],
      ['type', 'text'],
      ['key', 'text'],
      ['payload', 'text'],
      ['due', 'bigint'],
      ['attempts', 'bigint'],
      ['error', 'text'],
    ],
    page: 500,
    key: ['id'],
  },
  {
    name: 'audit',
    columns: [
      ['seq', 'bigint'],
      ['leaf', 'text'],
      ['hash', 'text'],
    ],
    page: 1_000,
    key: ['seq'],
  },
  {
    name: 'leases',
    columns: [
      ['name', 'text'],
      ['token', 'bigint'],
      ['expires', 'bigint'],
    ],
    page: 500,
    key: ['name'],
  },
  {
    name: 'pulses',
    columns: [
      ['kind', 'text'],
      ['key', 'text'],
      ['value', 'text'],
    ],
    page: 1_000,
    key: ['kind', 'key'],
  },
];
