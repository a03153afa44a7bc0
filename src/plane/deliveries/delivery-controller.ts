import { isDeepStrictEqual } from 'node:util';
import type { NewId } from '#base';
import {
  Application,
  ChartRepository,
  Cluster,
  Delivery,
  Event,
  formatKey,
  GitRepository,
  keyOf,
  parseKey,
  Project,
  type Key,
  type LiveState,
  type Source,
} from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import type { Expectation, ListQuery, Transaction, Write } from '#plane/store';
import { decide, differenceOf, type DeliveryStatus } from './decide.ts';
import { readFacts, ReleaseHeads } from './read-facts.ts';
import { verdictEvent } from './verdict-event.ts';

/** How far something has come is written after this long, unless a verdict comes first. */
const PROGRESS_MS = 1_500;
const CHUNK = 200;
/** Keys of a whole cluster: `cluster:<name>`. Names of namespaces hold no colon. */
const CLUSTER = 'cluster:';

export interface DeliveryControllerOptions {
  readonly live: LiveState;
  readonly newUid: NewId;
  readonly frozen: () => boolean;
}

/**
 * Writes the verdict on every Delivery when it changes. A key is one Delivery (`namespace/name`), or `cluster:<name>` for all
 * of one cluster, when contact or the cluster itself changed.
 */
export class DeliveryController implements Controller {
  readonly name = 'deliveries';
  readonly concurrency = 4;
  readonly #options: DeliveryControllerOptions;
  readonly #releases = new ReleaseHeads();
  /** When progress that is not written yet was first seen, by Delivery. */
  readonly #progress = new Map<string, number>();

  constructor(options: DeliveryControllerOptions) {
    this.#options = options;
  }

  readonly wakes = [
    wakeOn(Delivery, ({ before, after, type }) => {
      if (type === 'deleted') this.#progress.delete(formatKey(keyOf(after)));
      if (type === 'deleted' || (type === 'modified' && isDeepStrictEqual(before?.spec, after.spec))) return [];
      return [formatKey(keyOf(after))];
    }),
    wakeOn(Application, async ({ before, after, type }, read) => {
      const seen = (one: Application | undefined): unknown => [
        one?.status?.reason,
        one?.spec.suspend,
        one?.spec.source.sourceRef,
        one?.spec.source.ref,
        one?.spec.source.chart,
        one?.spec.source.version,
      ];
      if (type === 'modified' && isDeepStrictEqual(seen(before), seen(after))) return [];
      return keysOf(read, after.metadata.namespace ?? '', 'spec.application', after.metadata.name);
    }),
    wakeOn(GitRepository, ({ before, after, type }, read) => {
      const isSame = type === 'modified' && isDeepStrictEqual(before?.status?.reason, after.status?.reason);
      return isSame ? [] : deliveriesOf(read, after);
    }),
    wakeOn(ChartRepository, ({ before, after, type }, read) => {
      const isSame = type === 'modified' && isDeepStrictEqual(before?.status?.reason, after.status?.reason);
      return isSame ? [] : deliveriesOf(read, after);
    }),
    wakeOn(Cluster, ({ before, after, type }) => {
      const seen = (one: Cluster | undefined): unknown => [
        one?.metadata.labels,
        one?.spec.suspend,
        one?.status?.agent === undefined,
        one?.status?.recovery,
      ];
      // What was delivered to a deleted Cluster goes with it.
      if (type === 'deleted' || (type === 'modified' && isDeepStrictEqual(seen(before), seen(after)))) return [];
      return [`${CLUSTER}${after.metadata.name}`];
    }),
    wakeOn(Project, async ({ before, after, type }, read) => {
      if (type === 'modified' && isDeepStrictEqual(before?.spec, after.spec)) return [];
      const keys: string[] = [];
      for await (const delivery of each(read, Delivery, { namespace: after.metadata.name }))
        keys.push(formatKey(keyOf(delivery)));
      return keys;
    }),
  ];

  listen(wake: (key: string) => void, signal: AbortSignal): void {
    const stop = this.#options.live.subscribe((change) => {
      wake(
        change.of === 'cluster'
          ? `${CLUSTER}${change.cluster}`
          : formatKey({ namespace: change.project, name: `${change.application}.${change.cluster}` }),
      );
    });
    signal.addEventListener('abort', stop, { once: true });
  }

  async initial(read: Reader): Promise<readonly string[]> {
    const clusters = new Set<string>();
    for await (const delivery of each(read, Delivery, {})) clusters.add(`${CLUSTER}${delivery.spec.cluster}`);
    return [...clusters];
  }

  async reconcile(key: string, { read, clock }: ReconcileContext): Promise<ReconcileResult> {
    const deliveries: Delivery[] = [];
    if (key.startsWith(CLUSTER)) {
      const fields = [{ path: 'spec.cluster', operator: '=' as const, value: key.slice(CLUSTER.length) }];
      for await (const delivery of each(read, Delivery, { fields })) deliveries.push(delivery);
    } else {
      const delivery = await read.get(Delivery, parseKey(key));
      if (delivery !== undefined) deliveries.push(delivery);
    }
    const nowMs = clock.now();
    const { live, newUid, frozen } = this.#options;
    const writes: { readonly expect: Expectation; readonly write: readonly Write[] }[] = [];
    let againMs: number | undefined;
    for (const facts of await readFacts(read, deliveries, nowMs, { live, releases: this.#releases, frozen })) {
      const { delivery } = facts;
      const status = decide(facts);
      const waitMs = this.#waitMs(delivery, status, nowMs);
      if (waitMs === undefined) continue;
      if (waitMs > 0) {
        againMs = Math.min(againMs ?? waitMs, waitMs);
        continue;
      }
      const event = verdictEvent(delivery, status, nowMs, newUid);
      writes.push({
        expect: { kind: Delivery, key: keyOf(delivery), revision: Number(delivery.metadata.resourceVersion) },
        write: [
          { op: 'put', kind: Delivery, object: { ...delivery, status } },
          ...(event === undefined ? [] : [{ op: 'put' as const, kind: Event, object: event }]),
        ],
      });
    }
    const chunks: Transaction[] = [];
    for (let at = 0; at < writes.length; at += CHUNK) {
      const part = writes.slice(at, at + CHUNK);
      chunks.push({ expect: part.map((one) => one.expect), write: part.flatMap((one) => one.write) });
    }
    return { ...(chunks.length === 0 ? {} : { chunks }), ...(againMs === undefined ? {} : { againMs }) };
  }

  /** undefined: nothing to write; 0: write now; else look again after so many ms. */
  #waitMs(delivery: Delivery, status: DeliveryStatus, nowMs: number): number | undefined {
    const key = formatKey(keyOf(delivery));
    const difference = differenceOf(delivery.status, status);
    if (difference !== 'progress') {
      this.#progress.delete(key);
      return difference === 'none' ? undefined : 0;
    }
    const sinceMs = this.#progress.get(key) ?? nowMs;
    const leftMs = sinceMs + PROGRESS_MS - nowMs;
    if (leftMs <= 0) {
      this.#progress.delete(key);
      return 0;
    }
    this.#progress.set(key, sinceMs);
    return leftMs;
  }
}

/** Of all Applications that name a source. */
async function deliveriesOf(read: Reader, source: Source): Promise<readonly string[]> {
  const namespace = source.metadata.namespace ?? '';
  const keys: string[] = [];
  const fields = [{ path: 'spec.source.sourceRef.name', operator: '=' as const, value: source.metadata.name }];
  for await (const application of each(read, Application, { namespace, fields }))
    keys.push(...(await keysOf(read, namespace, 'spec.application', application.metadata.name)));
  return keys;
}

async function keysOf(read: Reader, namespace: string, path: string, value: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const delivery of each(read, Delivery, { namespace, fields: [{ path, operator: '=', value }] })) {
    keys.push(formatKey(keyOf(delivery)));
  }
  return keys;
}

async function* each<S, T>(read: Reader, kind: Parameters<typeof read.list<S, T>>[0], query: ListQuery) {
  let after: Key | undefined;
  do {
    const page = await read.list<S, T>(kind, { limit: 500, ...query, ...(after === undefined ? {} : { after }) });
    yield* page.items;
    after = page.next;
  } while (after !== undefined);
}
