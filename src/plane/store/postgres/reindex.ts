import type { Kind, PlaneObject } from '#api';
import { indexOf, parseIndex } from '../encode.ts';
import type { Connection } from './connection.ts';
import { lockHead, storable } from './write-group.ts';

const PAGE = 500;

/** Writes the field rows anew of kinds whose selectable fields are other than those the database was written with. */
export async function reindex(connection: Connection, kinds: readonly Kind[]): Promise<void> {
  const known = new Map(
    (await connection.rows('SELECT kind, selectable FROM kinds')).map((row) => [row['kind'], row['selectable']]),
  );
  for (const kind of kinds) {
    const wanted = JSON.stringify(kind.selectable);
    if (known.get(kind.kind) === wanted) continue;
    await connection.query('BEGIN');
    try {
      // Nobody writes meanwhile, so that no object slips through with its old rows.
      await lockHead(connection);
      await reindexKind(connection, kind);
      await connection.query(
        'INSERT INTO kinds (kind, selectable) VALUES ($1, $2) ON CONFLICT (kind) DO UPDATE SET selectable = excluded.selectable',
        [kind.kind, wanted],
      );
      await connection.query('COMMIT');
    } catch (error) {
      await connection.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
  }
}

async function reindexKind(connection: Connection, kind: Kind): Promise<void> {
  await connection.query('DELETE FROM fields WHERE kind = $1', [kind.kind]);
  let after: readonly [string, string] = ['', ''];
  for (;;) {
    const rows = await connection.rows(
      'SELECT namespace, name, text FROM objects WHERE kind = $1 AND (namespace, name) > ($2, $3) ORDER BY namespace, name LIMIT $4',
      [kind.kind, ...after, PAGE],
    );
    const keys = rows.map((row): readonly [string, string] => [String(row['namespace']), String(row['name'])]);
    // Stored by this room from a PlaneObject.
    const indexed = rows.map((row) => indexOf(kind, JSON.parse(String(row['text'])) as PlaneObject));
    const fields = indexed.flatMap((text, at) =>
      parseIndex(text)[1].map((pair) => [...(keys[at] ?? ['', '']), ...pair] as const),
    );
    await connection.query(
      'UPDATE objects o SET indexed = w.indexed FROM unnest($2::text[], $3::text[], $4::text[]) AS w (namespace, name, indexed)' +
        ' WHERE o.kind = $1 AND o.namespace = w.namespace AND o.name = w.name',
      [kind.kind, keys.map(([namespace]) => namespace), keys.map(([, name]) => name), indexed],
    );
    await connection.query(
      'INSERT INTO fields (kind, namespace, name, key, value) SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])',
      [kind.kind, ...[0, 1, 2, 3].map((column) => fields.map((row) => storable(row[column] ?? '')))],
    );
    const last = keys.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    after = last;
  }
}
