import { Link } from '@tanstack/react-router';
import type { ObjectIdentity, ObjectRow } from '#api';
import { gvkText, NO_NAMESPACE, objectKey, objectWords } from '../objects.ts';
import { ObjectBadge } from './state-mark.tsx';

export interface DeliveryPath {
  readonly project: string;
  readonly application: string;
  readonly cluster: string;
}

export function ObjectLink({
  at,
  id,
  children,
}: {
  readonly at: DeliveryPath;
  readonly id: ObjectIdentity;
  readonly children: React.ReactNode;
}): React.ReactNode {
  return (
    <Link
      data-row=""
      to="/d/$project/$application/$cluster/objects/$gvk/$namespace/$name"
      params={{ ...at, gvk: gvkText(id), namespace: id.namespace === '' ? NO_NAMESPACE : id.namespace, name: id.name }}
    >
      {children}
    </Link>
  );
}

/** Objects by namespace and kind, each with its health. A kind that is as wanted throughout is folded once it is long. */
export function ObjectTree({ rows, at }: { readonly rows: readonly ObjectRow[]; readonly at: DeliveryPath }): React.ReactNode {
  if (rows.length === 0) return <p className="muted">None yet: no release is assigned.</p>;
  return (
    <ul className="tree">
      {grouped(rows, (row) => row.id.namespace).map(([namespace, inNamespace]) => (
        <li key={namespace}>
          <p className="tree-head">
            {namespace === '' ? 'Cluster-wide' : <span className="mono">{namespace}</span>}
            <span className="muted">{summary(inNamespace)}</span>
          </p>
          <ul>
            {grouped(inNamespace, (row) => gvkText(row.id)).map(([gvk, ofKind]) => (
              <li key={gvk}>
                <KindBranch rows={ofKind} at={at} />
              </li>
            ))}
          </ul>
        </li>
      ))}
    </ul>
  );
}

const FOLD_FROM = 8;

function KindBranch({ rows, at }: { readonly rows: readonly ObjectRow[]; readonly at: DeliveryPath }): React.ReactNode {
  const kind = rows[0]?.id.kind ?? '';
  const isWell = rows.every((row) => row.state === 'ready');
  return (
    <details open={!isWell || rows.length < FOLD_FROM}>
      <summary>
        {kind} <span className="muted">{rows.length === 1 ? objectWords[rows[0]?.state ?? 'unknown'] : summary(rows)}</span>
      </summary>
      <ul className="tree-leaves">
        {rows.map((row) => (
          <li key={objectKey(row.id)}>
            <ObjectLink at={at} id={row.id}>
              {row.id.name}
            </ObjectLink>
            <ObjectBadge state={row.state} />
            <span className="tree-why">{row.sentence ?? ''}</span>
            <span className="mono muted tree-file">{row.file === undefined ? '' : `${row.file}:${row.line ?? 1}`}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}

/** "12 as wanted", "1 refused, 11 as wanted". */
function summary(rows: readonly ObjectRow[]): string {
  const counts = new Map<string, number>();
  for (const row of rows) counts.set(objectWords[row.state], (counts.get(objectWords[row.state]) ?? 0) + 1);
  return [...counts].map(([words, count]) => `${count} ${words}`).join(', ');
}

/** In the order in which each group first appears, which is the order of applying. */
function grouped<T>(items: readonly T[], keyOf: (item: T) => string): readonly (readonly [string, readonly T[]])[] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return [...groups];
}
