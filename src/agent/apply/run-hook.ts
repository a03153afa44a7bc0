import type { HookEvent } from '#api';
import {
  capBytes,
  deleteObject,
  getIn,
  hasStatus,
  injectMetadata,
  isRecord,
  parseId,
  redactMessage,
  removePointer,
  resourcePath,
  type KubeObject,
  type MetadataInjection,
  type ResourceMapping,
} from '#kube';
import type { Outcome } from '../core/messages.ts';
import type { PlannedHook } from '../core/model.ts';
import { parseExact } from './adjust.ts';
import { actingAs, type ClusterPort } from './cluster-port.ts';
import { FIELD_MANAGER, HOOK_LABEL, HOOK_OWNER_ANNOTATION, HOOK_TTL_ANNOTATION, isMarked } from './marks.ts';

export type HookMarks = Required<Pick<MetadataInjection, 'labels' | 'annotations'>>;
type Hooked = Extract<Outcome, { type: 'hooked' }>;

interface HookPlace {
  readonly hook: PlannedHook;
  readonly mark: string;
  readonly serviceAccount: string | undefined;
}

export interface HookJob extends HookPlace {
  readonly owner: string;
  readonly event: HookEvent;
  readonly uid: string | undefined;
  readonly body: (marks: HookMarks) => Promise<Buffer>;
}

/** What Helm puts on every hook it renders, and so do we. */
const HELM_HOOK = 'helm.sh/hook';

/**
 * Brings a hook one step further: finds the object of this very run by its mark, else makes room and makes it. So it can be
 * asked any number of times, by any number of processes one after another, and the hook runs once.
 */
export async function advanceHook(job: HookJob, port: ClusterPort, signal: AbortSignal): Promise<Hooked> {
  const { hook } = job;
  const mapping = await port.mapper.mapping(hook.id);
  const live = await find(job, mapping, port, signal);
  if (live?.metadata.labels?.[HOOK_LABEL] === job.mark) return await judge(job, mapping, live, port, signal);
  if (job.uid !== undefined) return { type: 'hooked', state: 'failed', words: 'it was deleted while it ran' };
  if (live !== undefined) return await makeRoom(job, mapping, live, port, signal);

  const path = resourcePath(mapping, hook.id.namespace === '' ? undefined : hook.id.namespace);
  const body = withoutTtl(
    await job.body({ labels: { [HOOK_LABEL]: job.mark }, annotations: { [HOOK_OWNER_ANNOTATION]: job.owner } }),
  );
  port.mayWrite();
  const impersonate = actingAs(job.serviceAccount);
  try {
    const response = await port.client.request({
      method: 'POST',
      path,
      body,
      query: { fieldManager: FIELD_MANAGER },
      signal,
      ...(impersonate === undefined ? {} : { impersonate }),
    });
    const made = JSON.parse(response.body.toString('utf8')) as KubeObject; // an object of the API server
    return await judge(job, mapping, made, port, signal);
  } catch (error) {
    // Somebody was faster: it is looked at again.
    if (hasStatus(error, 409) && hook.id.name !== '') return { type: 'hooked', state: 'running', uid: undefined };
    throw error;
  }
}

/** Deletes the object of this run, if it is still there. */
export async function clearHook(place: HookPlace, port: ClusterPort, signal: AbortSignal): Promise<void> {
  const mapping = await port.mapper.mapping(place.hook.id);
  const live = await find(place, mapping, port, signal);
  if (live?.metadata.labels?.[HOOK_LABEL] === place.mark) await remove(place, mapping, live, port, signal);
}

async function find(
  { hook, mark }: HookPlace,
  mapping: ResourceMapping,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<KubeObject | undefined> {
  const namespace = hook.id.namespace === '' ? undefined : hook.id.namespace;
  if (hook.id.name === '') {
    const query = { labelSelector: `${HOOK_LABEL}=${mark}`, limit: 1 };
    const response = await port.client.request({ method: 'GET', path: resourcePath(mapping, namespace), query, signal });
    const items = getIn(JSON.parse(response.body.toString('utf8')), 'items');
    const first: unknown = Array.isArray(items) ? items[0] : undefined;
    return isRecord(first) ? (first as unknown as KubeObject) : undefined; // all of an object but its kind
  }
  try {
    const response = await port.client.request({ method: 'GET', path: resourcePath(mapping, namespace, hook.id.name), signal });
    return JSON.parse(response.body.toString('utf8')) as KubeObject; // an object of the API server
  } catch (error) {
    if (hasStatus(error, 404)) return undefined;
    throw error;
  }
}

/** What has the hook's name is of an earlier run, or none of our business. */
async function makeRoom(
  job: HookJob,
  mapping: ResourceMapping,
  live: KubeObject,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<Hooked> {
  const { labels, annotations } = live.metadata;
  const isHook =
    labels?.[HOOK_LABEL] !== undefined ||
    annotations?.[HELM_HOOK] !== undefined ||
    isMarked(live.metadata, job.owner, job.hook.key);
  if (!isHook) return { type: 'hooked', state: 'failed', words: 'an object of this name is there already, and is no hook' };
  const { deletePolicies } = job.hook;
  if (deletePolicies.length > 0 && !deletePolicies.includes('before-hook-creation')) {
    const words = 'it is still there from an earlier run, and its delete policy does not say before-hook-creation';
    return { type: 'hooked', state: 'failed', words };
  }
  if (live.metadata.deletionTimestamp === undefined) await remove(job, mapping, live, port, signal);
  return { type: 'hooked', state: 'running', uid: undefined };
}

async function remove(
  { hook, serviceAccount }: HookPlace,
  mapping: ResourceMapping,
  live: KubeObject,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<void> {
  port.mayWrite();
  const impersonate = actingAs(serviceAccount);
  await deleteObject(
    port.client,
    mapping,
    { ...parseId(hook.key), name: live.metadata.name },
    {
      uid: live.metadata.uid ?? '',
      signal,
      ...(impersonate === undefined ? {} : { impersonate }),
    },
  );
}

/** How far a hook is: a Job or Pod runs to its end, of anything else it is enough that it is there. */
async function judge(
  job: HookJob,
  mapping: ResourceMapping,
  live: KubeObject,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<Hooked> {
  const verdict = verdictOf(live, mapping);
  if (verdict.state === 'running') return { ...verdict, uid: live.metadata.uid };
  const ttl = live.metadata.annotations?.[HOOK_TTL_ANNOTATION];
  if (ttl !== undefined) await giveTtlBack(job, mapping, live.metadata.name, Number(ttl), port, signal);
  return verdict;
}

function verdictOf(live: KubeObject, { group, kind }: ResourceMapping): Hooked {
  const running: Hooked = { type: 'hooked', state: 'running', uid: undefined };
  const succeeded: Hooked = { type: 'hooked', state: 'succeeded' };
  if (group === 'batch' && kind === 'Job') {
    const conditions = getIn(live, 'status', 'conditions');
    for (const condition of Array.isArray(conditions) ? (conditions as readonly unknown[]) : []) {
      if (getIn(condition, 'status') !== 'True') continue;
      const type = getIn(condition, 'type');
      if (type === 'Complete') return succeeded;
      if (type === 'Failed') return { type: 'hooked', state: 'failed', words: wordsOf(condition) };
    }
    return running;
  }
  if (group === '' && kind === 'Pod') {
    const phase = getIn(live, 'status', 'phase');
    if (phase === 'Succeeded') return succeeded;
    return phase === 'Failed' ? { type: 'hooked', state: 'failed', words: wordsOfPod(live) } : running;
  }
  return succeeded;
}

function wordsOf(said: unknown): string {
  const parts = [getIn(said, 'reason'), getIn(said, 'message')].filter((one) => typeof one === 'string' && one !== '');
  return parts.length === 0 ? 'it says nothing more' : capBytes(redactMessage(parts.join(': ')), 1024);
}

function wordsOfPod(live: KubeObject): string {
  const statuses = getIn(live, 'status', 'containerStatuses');
  for (const status of Array.isArray(statuses) ? (statuses as readonly unknown[]) : []) {
    const ended = getIn(status, 'state', 'terminated');
    const exitCode = getIn(ended, 'exitCode');
    if (typeof exitCode === 'number' && exitCode !== 0) return `exit code ${exitCode}: ${wordsOf(ended)}`;
  }
  return wordsOf(getIn(live, 'status'));
}

/**
 * A Job that deletes itself when it has finished could be gone before anybody saw how: its time to live begins to count when
 * that is known. Numbers keep their digits.
 */
function withoutTtl(body: Buffer): Buffer {
  const ttl = getIn(JSON.parse(body.toString('utf8')), 'spec', 'ttlSecondsAfterFinished');
  if (typeof ttl !== 'number') return body;
  const bare = removePointer(parseExact(body), '/spec/ttlSecondsAfterFinished');
  return injectMetadata(Buffer.from(JSON.stringify(bare)), { annotations: { [HOOK_TTL_ANNOTATION]: String(ttl) } });
}

async function giveTtlBack(
  { hook, serviceAccount }: HookPlace,
  mapping: ResourceMapping,
  name: string,
  ttl: number,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<void> {
  port.mayWrite();
  const impersonate = actingAs(serviceAccount);
  try {
    await port.client.request({
      method: 'PATCH',
      path: resourcePath(mapping, hook.id.namespace, name),
      contentType: 'application/merge-patch+json',
      body: JSON.stringify({
        metadata: { annotations: { [HOOK_TTL_ANNOTATION]: null } },
        spec: { ttlSecondsAfterFinished: ttl },
      }),
      query: { fieldManager: FIELD_MANAGER },
      signal,
      ...(impersonate === undefined ? {} : { impersonate }),
    });
  } catch (error) {
    if (!hasStatus(error, 404)) throw error;
  }
}
