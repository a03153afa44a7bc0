import { Type } from 'typebox';
import { defineKind, type Key, type ObjectOf } from '#api';
import type { Clock } from '#base';
import type { RevisionFloor, Store, Transaction, Write } from '../types.ts';

/** One database to be tested: opened, closed and opened again. */
export interface DatabaseUnderTest {
  open(options?: DatabaseOptions): Promise<Store>;
  /** What `crash-child.ts` needs to open the same database, as JSON. */
  readonly location: unknown;
  /** Runs SQL behind the store's back; the store must be closed. */
  meddle(sql: string): Promise<void>;
  destroy(): Promise<void>;
}

export interface DatabaseOptions {
  readonly clock?: Clock;
  readonly revisionFloor?: RevisionFloor;
  readonly logMaxBytes?: number;
  readonly logMaxAgeMs?: number;
}

export type CreateDatabase = () => Promise<DatabaseUnderTest>;

const spec = Type.Object({
  cluster: Type.Optional(Type.String()),
  size: Type.Optional(Type.Integer()),
  text: Type.Optional(Type.String()),
});
const status = Type.Object({ phase: Type.Optional(Type.String()) });

/** A kind of the tests alone. */
export const Widget = defineKind({
  kind: 'Widget',
  plural: 'widgets',
  scope: 'Namespaced',
  description: 'For tests.',
  spec,
  status,
  columns: [],
  selectable: ['spec.cluster', 'spec.size', 'status.phase'],
});
export type Widget = ObjectOf<typeof Widget>;

export const Gadget = defineKind({ ...Widget, kind: 'Gadget', plural: 'gadgets', columns: [], spec, status, rules: [] });

export interface WidgetParts {
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: Widget['spec'];
  readonly status?: NonNullable<Widget['status']>;
}

export function widget(name: string, parts: WidgetParts = {}): Widget {
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'Widget',
    metadata: {
      name,
      namespace: parts.namespace ?? 'default',
      uid: `uid-${name}`,
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...(parts.labels === undefined ? {} : { labels: parts.labels }),
    },
    spec: parts.spec ?? {},
    ...(parts.status === undefined ? {} : { status: parts.status }),
  };
}

export function put(name: string, parts: WidgetParts = {}): Write {
  return { op: 'put', kind: Widget, object: widget(name, parts) };
}

export function remove(name: string, namespace = 'default'): Write {
  return { op: 'delete', kind: Widget, key: key(name, namespace) };
}

export function key(name: string, namespace = 'default'): Key {
  return { namespace, name };
}

/** Commits what must succeed; the revision. */
export async function commit(store: Store, transaction: Transaction): Promise<number> {
  const result = await store.commit(transaction);
  if (!result.ok) throw new Error(`the commit was refused: ${JSON.stringify(result)}`);
  return result.revision;
}

/** A revision floor that lives in memory. */
export function memoryFloor(start = 0): RevisionFloor & { readonly at: () => number } {
  let at = start;
  return { read: () => at, reserve: (upTo) => (at = Math.max(at, upTo)), at: () => at };
}
