import { isDeepStrictEqual } from 'node:util';
import { FairleadError, messageOf, rfc3339, type Log } from '#base';
import {
  Application,
  formatKey,
  keyOf,
  parseKey,
  Project,
  reasonOf,
  Release,
  servedKinds,
  WAIVER_ANNOTATION,
  type Bundle,
  type UntimedReason,
} from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import type { KubeApiClient } from '#plane/kubeapi';
import type { Transaction } from '#plane/store';
import { byApplication, kindOf, nameOf, namespaceOf, planSelf, type PlaneManifest } from './plan-self.ts';

/** Holds an Application that has put objects on the plane, until its deletion has been thought through. */
export const PLANE_FINALIZER = 'fairlead.dev/plane';

export const SELF_FIELD_MANAGER = 'fairlead-self';

export interface SelfOptions {
  /** The plane's API in process, in the name of `actor`. */
  readonly clientFor: (actor: string) => Pick<KubeApiClient, 'apply' | 'get' | 'delete'>;
  readonly log: Log;
}

type PlaneStatus = NonNullable<NonNullable<Application['status']>['plane']>;

/** What failed is tried again after this long, whether or not anything changed. */
const retryMs = 30_000;

/** Applies the targets `plane` of Applications to the plane's own API. One key per Application. */
export function createSelf(options: SelfOptions): Controller {
  return {
    name: 'self',
    // One after the other: who takes an object over must not do so between another's look at who holds what and its deletion.
    concurrency: 1,
    wakes: [
      wakeOn(Application, ({ type, before, after }) => {
        if (!concernsPlane(after) || type === 'deleted') return [];
        const isSame =
          before !== undefined &&
          before.metadata.generation === after.metadata.generation &&
          before.metadata.deletionTimestamp === after.metadata.deletionTimestamp &&
          before.metadata.annotations?.[WAIVER_ANNOTATION] === after.metadata.annotations?.[WAIVER_ANNOTATION] &&
          isDeepStrictEqual(before.metadata.finalizers, after.metadata.finalizers) &&
          isDeepStrictEqual(before.status?.release, after.status?.release) &&
          isDeepStrictEqual(before.status?.plane, after.status?.plane);
        return isSame ? [] : [formatKey(keyOf(after))];
      }),
      wakeOn(Project, async ({ before, after }, read) => {
        if (before?.metadata.generation === after.metadata.generation) return [];
        const { items } = await read.list(Application, { namespace: after.metadata.name });
        return items.filter(concernsPlane).map((application) => formatKey(keyOf(application)));
      }),
    ],
    initial: async (read) => {
      const all = await allApplications(read);
      return all.filter(concernsPlane).map((application) => formatKey(keyOf(application)));
    },
    reconcile: (key, context) => reconcile(key, context, options),
  };
}

function hasPlaneTarget(application: Application): boolean {
  return (application.spec.targets ?? []).some((target) => target.plane !== undefined);
}

function concernsPlane(application: Application): boolean {
  return hasPlaneTarget(application) || application.status?.plane !== undefined;
}

async function reconcile(key: string, context: ReconcileContext, options: SelfOptions): Promise<ReconcileResult> {
  const { read, clock } = context;
  const application = await read.get(Application, parseKey(key));
  if (application === undefined) return {};
  const now = rfc3339(clock.now());
  const client = options.clientFor(`system:fairlead:application:${key}`);
  const finalizers = application.metadata.finalizers ?? [];
  if (application.metadata.deletionTimestamp !== undefined) {
    if (!finalizers.includes(PLANE_FINALIZER)) return {};
    return { commit: await letGo(application, application.spec.deletionPolicy ?? 'Orphan', client, options.log, read) };
  }
  if (!hasPlaneTarget(application)) {
    return { commit: await letGo(application, application.spec.onTargetExit ?? 'Orphan', client, options.log, read) };
  }
  const releaseName = application.status?.release?.name;
  if (releaseName === undefined || application.spec.suspend === true) return {};
  const found = await wantedOf(application, releaseName, read);
  if (found === undefined) return {};
  const former = application.status?.plane;
  const held = former?.objects ?? [];
  const project = await read.get(Project, { namespace: '', name: application.metadata.namespace ?? '' });
  if (project === undefined) return {};
  const plan = planSelf({
    application,
    project,
    wanted: found.wanted,
    held,
    others: await othersOf(application, read),
    bundle: found.bundle,
    waiver: application.metadata.annotations?.[WAIVER_ANNOTATION],
  });
  const before = former?.release ?? '';
  if ('refused' in plan) return { commit: write(application, { release: before, objects: held }, plan.refused, now) };
  const ids = plan.apply.map(({ id }) => id);
  const union = [...new Set([...held, ...ids])].sort();
  // Recorded before it is done: what a crash leaves on the plane is known, and can be taken away again.
  if (union.length !== held.length || !finalizers.includes(PLANE_FINALIZER)) {
    return { commit: write(application, { release: before, objects: union }, undefined, now) };
  }
  const isDone = former?.release === releaseName && former.reason === undefined && plan.prune.length + plan.orphan.length === 0;
  if (isDone) return {};
  const failure = await applyAll(plan.apply, client);
  if (failure !== undefined) {
    return { commit: write(application, { release: before, objects: union }, failure, now), againMs: retryMs };
  }
  for (const id of plan.prune) await remove(id, client, options.log);
  return { commit: write(application, { release: releaseName, objects: ids.toSorted() }, undefined, now) };
}

/** What the Release says for the plane: the entry of its bundles that is marked so. */
async function wantedOf(
  application: Application,
  releaseName: string,
  read: Reader,
): Promise<{ readonly wanted: readonly PlaneManifest[]; readonly bundle: string } | undefined> {
  const { namespace = '' } = application.metadata;
  const release = await read.get(Release, { namespace, name: releaseName });
  const bundle = release?.spec.bundles.find((one) => one.plane === true)?.digest;
  if (bundle === undefined) return undefined;
  const bytes = (await read.blobs([bundle])).get(bundle);
  if (bytes === undefined) throw gone(bundle);
  // Our own bytes, found by their digest.
  const { entries } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Bundle;
  const bodies = await read.blobs(entries.map((entry) => entry.digest));
  const wanted = entries.map(({ id, digest }): PlaneManifest => {
    const body = bodies.get(digest);
    if (body === undefined) throw gone(digest);
    // Canonical JSON of a Kubernetes object; the kinds of the plane hold no number that JavaScript cannot.
    const parsed = JSON.parse(Buffer.from(body).toString('utf8')) as Record<string, unknown> & {
      metadata: Record<string, unknown>;
    };
    const isNamespaced = servedKinds.find((kind) => kind.kind === id.kind)?.scope === 'Namespaced';
    const target = isNamespaced ? id.namespace || namespace : '';
    const { namespace: _written, ...metadata } = parsed.metadata;
    return {
      id: `${id.kind}/${target}/${id.name}`,
      kind: id.kind,
      namespace: target,
      body: { ...parsed, metadata: { ...metadata, ...(target === '' ? {} : { namespace: target }) } },
    };
  });
  return { wanted: wanted.toSorted(byApplication), bundle };
}

function gone(digest: string): FairleadError {
  return new FairleadError('FL_SELF_CONTENT', `${digest} is not in the store`, { kind: 'unavailable' });
}

async function applyAll(
  manifests: readonly PlaneManifest[],
  client: Pick<KubeApiClient, 'apply'>,
): Promise<UntimedReason | undefined> {
  let first: UntimedReason | undefined;
  for (const { id, body } of manifests) {
    try {
      await client.apply(body, { fieldManager: SELF_FIELD_MANAGER, force: true });
    } catch (error) {
      if (error instanceof FairleadError && error.retryable) throw error;
      // The others go on: what is right in Git is not held up by what is wrong.
      first ??= reasonOf('FL_APPLY_PLANE', { object: id, words: messageOf(error).slice(0, 500), retry: 'within 30s' });
    }
  }
  return first;
}

/** Deletes an object that this plane has applied; one that somebody else has made his own stays. */
async function remove(id: string, client: Pick<KubeApiClient, 'get' | 'delete'>, log: Log): Promise<void> {
  const kind = servedKinds.find((one) => one.kind === kindOf(id));
  if (kind === undefined) return;
  const object = await client.get(kind, namespaceOf(id), nameOf(id));
  if (object === undefined) return;
  if (
    !(object.metadata.managedFields ?? []).some((entry) => entry.manager === SELF_FIELD_MANAGER && entry.operation === 'Apply')
  ) {
    log.info({ object: id }, 'an object of the plane is not ours any more and stays');
    return;
  }
  await client.delete(kind, namespaceOf(id), nameOf(id), { uid: object.metadata.uid });
}

/** The end of an Application's hold on the plane. Protected kinds stay in any mode: no Release can name them in a waiver any more. */
async function letGo(
  application: Application,
  mode: 'Orphan' | 'Delete',
  client: Pick<KubeApiClient, 'get' | 'delete'>,
  log: Log,
  read: Reader,
): Promise<Transaction> {
  const { namespace = '', name, finalizers = [] } = application.metadata;
  const held = application.status?.plane?.objects ?? [];
  const project = await read.get(Project, { namespace: '', name: namespace });
  if (mode === 'Delete' && project !== undefined) {
    const bundle = 'last';
    const input = {
      application,
      project,
      wanted: [],
      held,
      others: await othersOf(application, read),
      bundle,
      waiver: undefined,
    };
    const deletable = held.filter((id) => !('refused' in planSelf({ ...input, held: [id] })));
    const plan = planSelf({ ...input, held: deletable });
    if ('refused' in plan)
      log.warn(
        { application: name, namespace, objects: held.length },
        'too many objects of the plane to delete at once; they stay',
      );
    else for (const id of plan.prune) await remove(id, client, log);
  }
  const kept = finalizers.filter((finalizer) => finalizer !== PLANE_FINALIZER);
  const key = keyOf(application);
  const expect = [{ kind: Application, key, revision: Number(application.metadata.resourceVersion) }];
  if (application.metadata.deletionTimestamp !== undefined && kept.length === 0) {
    return { expect, write: [{ op: 'delete', kind: Application, key }] };
  }
  const { plane: _plane, ...status } = application.status ?? {};
  return {
    expect,
    write: [
      {
        op: 'put',
        kind: Application,
        object: { ...application, metadata: { ...application.metadata, finalizers: kept }, status },
      },
    ],
  };
}

function write(application: Application, plane: PlaneStatus, reason: UntimedReason | undefined, now: string): Transaction {
  const former = application.status?.plane?.reason;
  const isSame = reason !== undefined && former?.code === reason.code && isDeepStrictEqual(former.args, reason.args);
  const timed =
    reason === undefined ? {} : { reason: isSame ? former : { code: reason.code, args: { ...reason.args }, since: now } };
  const { finalizers = [] } = application.metadata;
  const metadata = finalizers.includes(PLANE_FINALIZER)
    ? application.metadata
    : { ...application.metadata, finalizers: [...finalizers, PLANE_FINALIZER] };
  const object: Application = { ...application, metadata, status: { ...application.status, plane: { ...plane, ...timed } } };
  const key = keyOf(application);
  return {
    expect: [{ kind: Application, key, revision: Number(application.metadata.resourceVersion) }],
    write: [{ op: 'put', kind: Application, object }],
  };
}

async function othersOf(application: Application, read: Reader): Promise<ReadonlyMap<string, string>> {
  const own = formatKey(keyOf(application));
  const others = new Map<string, string>();
  for (const other of await allApplications(read)) {
    const key = formatKey(keyOf(other));
    if (key !== own) for (const id of other.status?.plane?.objects ?? []) others.set(id, key);
  }
  return others;
}

async function allApplications(read: Reader): Promise<Application[]> {
  const all: Application[] = [];
  let page = await read.list(Application, { limit: 500 });
  for (;;) {
    all.push(...page.items);
    const { next } = page;
    if (next === undefined) return all;
    page = await read.list(Application, { limit: 500, after: next });
  }
}
