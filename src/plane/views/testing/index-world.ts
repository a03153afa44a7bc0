import { mkdtemp, rm } from 'node:fs/promises';
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allKinds, Delivery, deliveryName, Event, say, type Condition, type Kind, type PlaneObject } from '#api';
import { newUid, silentLog, systemClock, waitFor } from '#base';
import { openStore, type Store } from '#plane/store';
import { FleetIndex } from '../fleet-index.ts';

export const at = '2026-01-01T00:00:00Z';

export function object(
  kind: Kind,
  name: string,
  parts: { namespace?: string; labels?: Record<string, string>; spec?: unknown; status?: unknown },
): PlaneObject {
  const { namespace, labels, spec = {}, status } = parts;
  return {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid: newUid(),
      generation: 1,
      creationTimestamp: at,
      ...(labels === undefined ? {} : { labels }),
    },
    spec,
    status,
  };
}

export function ready(status: Condition['status'], code: string, args: Record<string, unknown>): Condition[] {
  return [{ type: 'Ready', status, reason: code, message: say({ code, args }), lastTransitionTime: at }];
}

export function delivery(
  application: string,
  cluster: string,
  code: string,
  args: Record<string, unknown>,
  since = at,
): PlaneObject {
  return object(Delivery, deliveryName(application, cluster), {
    namespace: 'default',
    spec: { application, cluster },
    status: { reason: { code, args, since }, conditions: ready(code === 'FL_READY' ? 'True' : 'False', code, args) },
  });
}

export async function withIndex(work: (store: Store, index: FleetIndex) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-views-'));
  const store = await openStore({ dir, kinds: allKinds, log: silentLog, clock: systemClock });
  const stop = new AbortController();
  const index = new FleetIndex({ store, log: silentLog });
  const running = index.run(stop.signal);
  try {
    await work(store, index);
  } finally {
    stop.abort();
    await running;
    await store.close();
    await rm(dir, { recursive: true, force: true });
  }
}

export async function put(store: Store, kind: Kind, ...objects: PlaneObject[]): Promise<number> {
  const result = await store.commit({ write: objects.map((one) => ({ op: 'put', kind, object: one })) });
  assert.ok(result.ok);
  return result.revision;
}

export function event(
  name: string,
  parts: { kind?: string; about: string; cluster?: string; type?: string; at: string },
): PlaneObject {
  return object(Event, name, {
    namespace: 'default',
    spec: {
      involvedObject: { apiVersion: '', kind: parts.kind ?? 'Delivery', namespace: 'default', name: parts.about, uid: '' },
      type: parts.type ?? 'Normal',
      code: 'FL_APPLIED',
      args: {},
      message: `${name} happened`,
      source: 'test',
      firstAt: parts.at,
      lastAt: parts.at,
      count: 1,
      ...(parts.cluster === undefined ? {} : { cluster: parts.cluster }),
    },
  });
}

export async function follow(index: FleetIndex, revision: number): Promise<void> {
  await waitFor('the mirror to follow', () => index.revision >= revision, { timeoutMs: 5000, intervalMs: 2 });
}
