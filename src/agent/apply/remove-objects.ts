import { reason } from '#api';
import { FairleadError, mapLimited, rfc3339 } from '#base';
import {
  deleteObject,
  describeId,
  formatPointer,
  jsonPatch,
  parseId,
  type JsonPatchOperation,
  type KubeMeta,
  type ResourceMapping,
} from '#kube';
import type { RemovalOutcome } from '../core/messages.ts';
import type { ObjectKey } from '../core/model.ts';
import { actingAs, type ClusterPort } from './cluster-port.ts';
import { failureOf } from './failure.ts';
import { getMetadata } from './first-contact.ts';
import { FIELD_MANAGER, isMarked, OBJECT_ANNOTATION, OWNER_LABEL, PRUNE_ANNOTATION } from './marks.ts';

export interface RemovalJob {
  readonly mode: 'prune' | 'delete' | 'orphan';
  readonly owner: string;
  readonly serviceAccount: string | undefined;
  /** In the order in which they go. */
  readonly objects: readonly { readonly key: ObjectKey; readonly version: string }[];
}

const CONCURRENCY = 16;

/**
 * Removes what is ours and nothing else: each object is read first, must carry our marks and name itself, and is deleted by
 * its uid. Kinds go one after another in the given order; `orphan` only takes our marks away.
 */
export async function removeObjects(job: RemovalJob, port: ClusterPort, signal: AbortSignal): Promise<RemovalOutcome[]> {
  const groups: { readonly kind: string; readonly objects: RemovalJob['objects'][number][] }[] = [];
  for (const object of job.objects) {
    const { group, kind } = parseId(object.key);
    const last = groups.at(-1);
    if (last?.kind === `${group}/${kind}`) last.objects.push(object);
    else groups.push({ kind: `${group}/${kind}`, objects: [object] });
  }
  const outcomes: RemovalOutcome[] = [];
  for (const group of groups) {
    outcomes.push(
      ...(await mapLimited(group.objects, CONCURRENCY, async ({ key, version }): Promise<RemovalOutcome> => {
        try {
          return await port.limiter.run(() => removeOne(job, key, version, port, signal), signal);
        } catch (error) {
          if (signal.aborted) return { key, result: 'skipped' };
          // Nothing of a kind that is not served can be left.
          if (error instanceof FairleadError && error.code === 'FL_KUBE_NO_KIND') return { key, result: 'gone' };
          const about = { object: { key }, verb: 'delete', serviceAccount: job.serviceAccount };
          return { key, result: 'failed', reason: failureOf(error, about, port).reason };
        }
      })),
    );
  }
  return outcomes;
}

async function removeOne(
  job: RemovalJob,
  key: ObjectKey,
  version: string,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<RemovalOutcome> {
  const id = parseId(key);
  const mapping = await port.mapper.mapping({ ...id, version }).catch((error: unknown) => {
    // The version it was applied in may be gone while the kind is still served.
    if (error instanceof FairleadError && error.code === 'FL_KUBE_NO_KIND') return port.mapper.mapping({ ...id, version: '' });
    throw error;
  });
  const live = await getMetadata(mapping, key, port, signal);
  if (live === null || !isMarked(live, job.owner, key)) return { key, result: 'gone' };
  if (live.deletionTimestamp !== undefined) return waiting(key, live, port);
  port.mayWrite();
  if (job.mode === 'orphan') return release(job, mapping, key, live, port, signal);
  if (live.annotations?.[PRUNE_ANNOTATION] === 'disabled') return { key, result: 'kept' };
  const impersonate = actingAs(job.serviceAccount);
  const result = await deleteObject(port.client, mapping, id, {
    uid: live.uid ?? '',
    signal,
    ...(impersonate === undefined ? {} : { impersonate }),
  });
  if (result === 'deleted') return { key, result: 'deleted' };
  return result === 'deleting' ? waiting(key, live, port) : { key, result: 'gone' };
}

function waiting(key: ObjectKey, live: KubeMeta, port: ClusterPort): RemovalOutcome {
  const finalizers = live.finalizers?.join(', ') ?? '';
  const args = { object: describeId(parseId(key)), cluster: port.cluster, finalizers: finalizers === '' ? 'none' : finalizers };
  return { key, result: 'waiting', reason: reason('FL_APPLY_TERMINATING', args, rfc3339(port.clock.now())) };
}

/** Takes away marks and field ownership, so that nobody believes it managed; every value stays. */
async function release(
  job: RemovalJob,
  mapping: ResourceMapping,
  key: ObjectKey,
  live: KubeMeta,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<RemovalOutcome> {
  const others = (live.managedFields ?? []).filter(
    (record) => !(record.manager === FIELD_MANAGER && record.operation === 'Apply'),
  );
  const operations: JsonPatchOperation[] = [
    // An empty list is read as "as before"; one empty record resets it.
    { op: 'replace', path: '/metadata/managedFields', value: others.length === 0 ? [{}] : others },
    { op: 'remove', path: formatPointer(['metadata', 'labels', OWNER_LABEL]) },
    { op: 'remove', path: formatPointer(['metadata', 'annotations', OBJECT_ANNOTATION]) },
    { op: 'replace', path: '/metadata/resourceVersion', value: live.resourceVersion ?? '' },
  ];
  const impersonate = actingAs(job.serviceAccount);
  await jsonPatch(port.client, mapping, parseId(key), operations, {
    fieldManager: FIELD_MANAGER,
    signal,
    ...(impersonate === undefined ? {} : { impersonate }),
  });
  return { key, result: 'released' };
}
