import { rfc3339 } from '#base';
import {
  AgentIdentity,
  API_VERSION,
  Application,
  Cluster,
  Delivery,
  DesiredStateRow,
  Project,
  RECONCILE_ANNOTATION,
  type Bundle,
  type DesiredState,
} from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import type { Transaction } from '#plane/store';
import type { AgentsContext } from './context.ts';
import { ARRIVING_MS, isCommitArriving } from './commit-arriving.ts';
import { clusterKey, deliveriesTo, documentOf, readComposeInput, revisionOf, type ReleaseCache } from './compose-inputs.ts';
import { composeContent, contentDigest, issue, type DesiredContent } from './desired-state.ts';
import type { LiveBook } from './live-book.ts';

/** Changes of one cluster that come within this time become one document. */
export const DEBOUNCE_MS = 20;
const ARRIVING_POLL_MS = 100;

/**
 * Signs what each cluster should hold: one row per cluster and change, numbered, and only when the content differs. What a
 * document names may be fetched by its cluster from the same commit on.
 */
export class Publisher implements Controller {
  readonly name = 'publisher';
  readonly concurrency = 8;
  readonly #context: AgentsContext;
  readonly #releases: ReleaseCache;
  readonly #live: LiveBook;
  /** When a cluster that waits for more changes was first woken. */
  readonly #woken = new Map<string, number>();
  /** Since when a cluster waits for the rest of a commit. */
  readonly #arriving = new Map<string, number>();

  constructor(context: AgentsContext, releases: ReleaseCache, live: LiveBook) {
    this.#context = context;
    this.#releases = releases;
    this.#live = live;
  }

  readonly wakes = [
    wakeOn(Delivery, ({ before, after, type }) => {
      const isSame =
        type === 'modified' &&
        before !== undefined &&
        JSON.stringify([before.spec, before.metadata.annotations?.[RECONCILE_ANNOTATION]]) ===
          JSON.stringify([after.spec, after.metadata.annotations?.[RECONCILE_ANNOTATION]]);
      return isSame ? [] : [after.spec.cluster];
    }),
    wakeOn(Cluster, ({ before, after }) => {
      const shown = (one: Cluster | undefined): string =>
        JSON.stringify([
          one?.metadata.annotations?.[RECONCILE_ANNOTATION],
          one?.metadata.labels ?? {},
          one?.status?.recovery ?? null,
          one?.status?.kubeSystemUid ?? '',
        ]);
      return shown(before) === shown(after) ? [] : [after.metadata.name];
    }),
    wakeOn(AgentIdentity, ({ after }) => [after.metadata.name]),
    wakeOn(Application, async ({ before, after, type }, read) => {
      const nudge = (one: Application | undefined) => one?.metadata.annotations?.[RECONCILE_ANNOTATION];
      if (type !== 'modified' || nudge(before) === nudge(after)) return [];
      return clustersOf(read, after.metadata.namespace ?? '', after.metadata.name);
    }),
    wakeOn(Project, async ({ before, after, type }, read) => {
      if (type === 'modified' && JSON.stringify(before?.spec) === JSON.stringify(after.spec)) return [];
      return clustersOf(read, after.metadata.name);
    }),
  ];

  async initial(read: Reader): Promise<readonly string[]> {
    const names: string[] = [];
    let after: { namespace: string; name: string } | undefined;
    do {
      const page = await read.list(AgentIdentity, { limit: 1000, ...(after === undefined ? {} : { after }) });
      for (const identity of page.items) if (identity.spec.detached !== true) names.push(identity.metadata.name);
      after = page.next;
    } while (after !== undefined);
    return names;
  }

  /** After a rotation every cluster gets a document by the new key: the former one is accepted until the next rotation only. */
  listen(wake: (key: string) => void, signal: AbortSignal): void {
    const { keys, store, log } = this.#context;
    const all = (): void =>
      void this.initial(store).then(
        (names) => names.forEach(wake),
        (error: unknown) =>
          log.error({ error }, 'the clusters cannot be read; their documents are signed anew at the next start'),
      );
    keys.onRotation(all, signal);
  }

  async reconcile(name: string, { read, clock }: ReconcileContext): Promise<ReconcileResult> {
    if (this.#context.frozen()) return {};
    const first = this.#woken.get(name);
    if (first === undefined) {
      this.#woken.set(name, clock.monotonic());
      return { againMs: DEBOUNCE_MS };
    }
    const leftMs = first + DEBOUNCE_MS - clock.monotonic();
    if (leftMs > 0) return { againMs: Math.ceil(leftMs) };
    this.#woken.delete(name);
    const chunks = await this.#next(name, read, clock);
    if (chunks === 'arriving') return { againMs: ARRIVING_POLL_MS };
    this.#arriving.delete(name);
    // Signing a whole fleet must not starve what else this loop serves.
    await new Promise((resolve) => setImmediate(resolve));
    return chunks.length === 0 ? {} : { chunks };
  }

  async #next(name: string, read: Reader, clock: ReconcileContext['clock']): Promise<readonly Transaction[] | 'arriving'> {
    const { keys } = this.#context;
    const nowMs = clock.now();
    // What is expected unchanged is read first: a recovery pauses deletions and issues its document in one commit, and who saw
    // the Cluster before it and the document after it would go on deleting.
    const identity = await read.get(AgentIdentity, clusterKey(name));
    const row = await read.get(DesiredStateRow, clusterKey(name));
    const cluster = await read.get(Cluster, clusterKey(name));
    if (identity === undefined || identity.spec.detached === true) return [];
    // A Cluster made anew under the name of a deleted one has no agent yet: this identity is about to become a tombstone.
    if (cluster?.status?.agent === undefined) return [];
    const before = row === undefined ? undefined : documentOf(row);
    const deliveries = await deliveriesTo(read, name);
    const input = await readComposeInput(read, this.#releases, {
      keys,
      cluster,
      identity,
      deliveries,
      previous: before === undefined ? [] : [before],
    });
    const content = composeContent(input);
    if (row?.spec.content === contentDigest(content)) return [];
    const since = this.#arriving.get(name) ?? clock.monotonic();
    if (clock.monotonic() - since < ARRIVING_MS) {
      if (await isCommitArriving(read, this.#releases, { cluster, content, before, deliveries })) {
        this.#arriving.set(name, since);
        return 'arriving';
      }
    }
    const now = new Date(nowMs).toISOString();
    const spec = issue({ content, issued: row?.spec, signers: [keys.signer], now });
    noteSigned(this.#live, name, content, before, now);
    const publish: Transaction = {
      expect: [
        { kind: DesiredStateRow, key: clusterKey(name), revision: row === undefined ? 'absent' : revisionOf(row) },
        { kind: Cluster, key: clusterKey(name), revision: 'present' },
        // Two reads are two moments: nothing is signed for an agent that was detached or replaced since.
        { kind: AgentIdentity, key: clusterKey(name), revision: revisionOf(identity) },
      ],
      write: [{ op: 'put', kind: DesiredStateRow, object: rowObject(name, row, spec, nowMs, this.#context.newUid) }],
    };
    return withIssues(publish, await issuesOf(read, name, content, before));
  }
}

type Issue = NonNullable<Transaction['issue']>[number];

/** What may be fetched is committed with the document that names it, or before it where that would be too much at once. */
export function withIssues(publish: Transaction, issues: readonly Issue[]): readonly Transaction[] {
  const [first, ...rest] = issues;
  return [...rest.map((one): Transaction => ({ issue: [one] })), first === undefined ? publish : { ...publish, issue: [first] }];
}

const MAX_DIGESTS = 5_000;

/** Digests that the cluster may fetch from now on: the bundles that are new in this document, and their objects. */
export async function issuesOf(
  read: Reader,
  cluster: string,
  content: DesiredContent,
  before: DesiredState | undefined,
): Promise<readonly Issue[]> {
  const known = new Set(before?.applications.map((one) => one.bundle));
  const fresh = [...new Set(content.applications.map((one) => one.bundle))].filter((bundle) => !known.has(bundle));
  if (fresh.length === 0) return [];
  const issued = await read.blobs(fresh, cluster);
  const missing = fresh.filter((bundle) => !issued.has(bundle));
  const digests = new Set<string>();
  for (const [bundle, bytes] of missing.length === 0 ? [] : await read.blobs(missing)) {
    digests.add(bundle);
    // Written by the applications room, in exactly this shape.
    const { entries } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Bundle;
    for (const entry of entries) digests.add(entry.digest);
  }
  const all = [...digests];
  const issues: Issue[] = [];
  for (let at = 0; at < all.length; at += MAX_DIGESTS) issues.push({ cluster, digests: all.slice(at, at + MAX_DIGESTS) });
  return issues;
}

export function rowObject(
  name: string,
  row: DesiredStateRow | undefined,
  spec: DesiredStateRow['spec'],
  nowMs: number,
  newUid: () => string,
): DesiredStateRow {
  return {
    apiVersion: API_VERSION,
    kind: DesiredStateRow.kind,
    metadata: row?.metadata ?? { name, uid: newUid(), generation: 1, creationTimestamp: rfc3339(nowMs) },
    spec,
  };
}

export function noteSigned(
  live: LiveBook,
  cluster: string,
  content: DesiredContent,
  before: DesiredState | undefined,
  now: string,
): void {
  const known = new Set(before?.applications.map((one) => `${one.project}/${one.name} ${one.release}`));
  for (const one of content.applications) {
    if (!known.has(`${one.project}/${one.name} ${one.release}`))
      live.noteSigned(cluster, one.project, one.name, one.release, now);
  }
}

async function clustersOf(read: Reader, namespace: string, application?: string): Promise<readonly string[]> {
  const fields = application === undefined ? [] : [{ path: 'spec.application', operator: '=' as const, value: application }];
  const clusters = new Set<string>();
  let after: { namespace: string; name: string } | undefined;
  do {
    const page = await read.list(Delivery, { namespace, fields, limit: 1000, ...(after === undefined ? {} : { after }) });
    for (const delivery of page.items) clusters.add(delivery.spec.cluster);
    after = page.next;
  } while (after !== undefined);
  return [...clusters];
}
