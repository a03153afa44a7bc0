import { reason, type DesiredApplication } from '#api';
import { FairleadError, messageOf, rfc3339 } from '#base';
import {
  applyObject,
  claimLegacyOwnership,
  defaultLegacyManagers,
  describeId,
  getObject,
  getPointer,
  hasStatus,
  jsonPatch,
  parseId,
  resourcePath,
  type KubeObject,
  type LegacyManager,
  type ResourceMapping,
} from '#kube';
import type { ObjectOutcome } from '../core/messages.ts';
import type { Inventory, PlannedObject } from '../core/model.ts';
import { inspect } from '../watch/inspect.ts';
import { judgeHealth } from '../watch/judge-health.ts';
import type { Watcher } from '../watch/watcher.ts';
import { adjustBody } from './adjust.ts';
import { judgeAdoption } from './adoption.ts';
import { createAutoscalerLookup, mayBeAutoscaled, REPLICAS, type AutoscalerLookup } from './autoscalers.ts';
import { actingAs, type ClusterPort } from './cluster-port.ts';
import { failureOf } from './failure.ts';
import { createContact, type Contact } from './first-contact.ts';
import { ignoreRulesFor } from './ignore-rules.ts';
import { FIELD_MANAGER, isMarked } from './marks.ts';
import type { WantedObjects } from './wanted-objects.ts';

export interface ApplyJob {
  readonly wanted: DesiredApplication;
  readonly owner: string;
  readonly objects: readonly PlannedObject[];
  readonly inventory: Inventory;
  readonly isCorrection: boolean;
}

export interface ApplyPorts {
  readonly port: ClusterPort;
  readonly watcher: Watcher;
  readonly wantedObjects: WantedObjects;
  /** Which application of this plane an owner label belongs to. */
  readonly knownOwner: (label: string) => string | undefined;
}

/** Makes each object what it should be, as many at a time as the API server likes. One that fails does not stop the others. */
export async function applyObjects(job: ApplyJob, ports: ApplyPorts, signal: AbortSignal): Promise<ObjectOutcome[]> {
  const unknown = job.objects.filter((object) => ports.watcher.lookup(object.key) === undefined);
  const contact = createContact(unknown, ports.port);
  const isAutoscaled = createAutoscalerLookup(ports.port);
  const outcomes = await Promise.all(
    job.objects.map(async (object): Promise<ObjectOutcome> => {
      const held = unchanged(job, object, ports);
      if (held !== undefined) return held;
      try {
        return await ports.port.limiter.run(() => applyOne(job, object, ports, { contact, isAutoscaled }, signal), signal);
      } catch (error) {
        if (signal.aborted) return { key: object.key, result: 'skipped' };
        const about = { object, verb: 'patch', serviceAccount: job.wanted.serviceAccount };
        return { key: object.key, result: 'failed', ...failureOf(error, about, ports.port) };
      }
    }),
  );
  const definitions = job.objects.filter(
    (object) => isDefinition(object) && outcomes.some((o) => o.key === object.key && o.result !== 'failed'),
  );
  if (definitions.length === 0) return outcomes;
  const late = await untilEstablished(definitions, ports.port, signal);
  ports.port.mapper.invalidate();
  return outcomes.map((outcome) => late.get(outcome.key) ?? outcome);
}

/** What the watch says is exactly as wanted costs no request. */
function unchanged(job: ApplyJob, object: PlannedObject, { watcher }: ApplyPorts): ObjectOutcome | undefined {
  if (job.isCorrection) return undefined;
  // Also in the middle of a list that another application asked for: what has come is what there is.
  const live = watcher.lookup(object.key);
  if (live === undefined || live.isDeleting || !live.isGenuine || live.owner !== job.owner) return undefined;
  if (!watcher.isCompared(live) || live.drift !== undefined || live.conflicts.length > 0) return undefined;
  return {
    key: object.key,
    result: 'unchanged',
    health: live.health,
    ...(live.reason === undefined ? {} : { reason: live.reason }),
  };
}

async function applyOne(
  job: ApplyJob,
  object: PlannedObject,
  ports: ApplyPorts,
  { contact, isAutoscaled }: { readonly contact: Contact; readonly isAutoscaled: AutoscalerLookup },
  signal: AbortSignal,
): Promise<ObjectOutcome> {
  const { port, watcher } = ports;
  const mapping = await port.mapper.mapping(object.id);
  if (object.isCreateOnly) return createOnly(job, object, mapping, ports, contact, signal);
  const known = watcher.lookup(object.key);
  const isOurs = known !== undefined && known.isGenuine && known.owner === job.owner;
  const ignore = ignoreRulesFor(job.wanted, object.id);
  let adoptedFrom: string | undefined;
  let previous: { readonly resourceVersion: string } | null | undefined;
  let mustRead = job.isCorrection || ignore.length > 0;

  if (isOurs) {
    previous = { resourceVersion: known.resourceVersion };
    const hasOthers = known.yielded.length > 0 || known.conflicts.length > 0 || known.intruders.length > 0;
    if (known.isDeleting) return terminating(object, port, known.reason?.args['finalizers']);
    mustRead ||= hasOthers || known.comparedWith === '';
  } else {
    const existing = await contact(mapping, object.key, signal);
    if (existing === null) previous = null;
    else {
      mustRead = true;
      if (!isMarked(existing, job.owner, object.key) && !isRemembered(job, object, existing.labels)) {
        const adoption = job.wanted.settings.adoption ?? 'IfUnowned';
        const verdict = judgeAdoption(existing, object.key, adoption, ports.knownOwner, port);
        if (verdict.kind === 'refuse') return { key: object.key, result: 'failed', reason: verdict.reason, retry: 'late' };
        adoptedFrom = verdict.from;
      }
    }
  }

  const body = await ports.wantedObjects.body(object, job.owner);
  // An autoscaler's number stays even where nobody but us has ever written the field.
  const isLeftToAutoscaler =
    previous !== null &&
    mapping.hasScale &&
    saysReplicas(object, ports.wantedObjects) &&
    (await isAutoscaled(object.key, signal));
  mustRead ||= isLeftToAutoscaler;
  const call: Call = { job, object, mapping, body, ignore, isLeftToAutoscaler, signal };
  if (!mustRead) {
    const done = await write(call, body, false, previous, ports).catch((error: unknown) => {
      // Somebody holds a field; or the watch was behind. Look before insisting.
      if (hasStatus(error, 409)) return undefined;
      throw error;
    });
    if (done !== undefined) return done;
  }
  return await lookThenApply(call, adoptedFrom, ports);
}

/** Made without marks: whatever becomes of it, it is nobody's. */
async function createOnly(
  job: ApplyJob,
  object: PlannedObject,
  mapping: ResourceMapping,
  { port, wantedObjects }: ApplyPorts,
  contact: Contact,
  signal: AbortSignal,
): Promise<ObjectOutcome> {
  const there: ObjectOutcome = { key: object.key, result: 'unchanged', health: 'healthy' };
  if ((await contact(mapping, object.key, signal)) !== null) return there;
  port.mayWrite();
  const impersonate = actingAs(job.wanted.serviceAccount);
  try {
    await port.client.request({
      method: 'POST',
      path: resourcePath(mapping, object.id.namespace === '' ? undefined : object.id.namespace),
      body: await wantedObjects.bareBody(object, {}),
      query: { fieldManager: FIELD_MANAGER },
      signal,
      ...(impersonate === undefined ? {} : { impersonate }),
    });
  } catch (error) {
    if (hasStatus(error, 409)) return there;
    throw error;
  }
  return { ...there, result: 'created' };
}

function saysReplicas(object: PlannedObject, wantedObjects: WantedObjects): boolean {
  return getPointer(wantedObjects.peek(object), REPLICAS) !== undefined;
}

/** Ours by our own record, and not meanwhile marked by another application. */
function isRemembered(job: ApplyJob, object: PlannedObject, labels: Readonly<Record<string, string>> | undefined): boolean {
  const label = labels?.['fairlead.dev/owner'];
  return job.inventory.has(object.key) && job.isCorrection && (label === undefined || label === job.owner);
}

interface Call {
  readonly job: ApplyJob;
  readonly object: PlannedObject;
  readonly mapping: ResourceMapping;
  readonly body: Buffer;
  readonly ignore: readonly string[];
  readonly isLeftToAutoscaler: boolean;
  readonly signal: AbortSignal;
}

/** Reads the object and applies in the light of who holds what. Once more if it changes in between. */
async function lookThenApply(
  call: Call,
  adoptedFrom: string | undefined,
  ports: ApplyPorts,
  attempt = 0,
): Promise<ObjectOutcome> {
  const { job, object, mapping, body, signal } = call;
  const { port, wantedObjects } = ports;
  const id = parseId(object.key);
  try {
    const live = await getObject(port.client, mapping, id, { signal });
    if (live === null) return await write(call, body, false, null, ports);
    if (live.metadata.deletionTimestamp !== undefined) return terminating(object, port, live.metadata.finalizers?.join(', '));
    await wantedObjects.prepare(object, job.owner);
    const comparable = wantedObjects.comparable(object, job.owner) ?? body;
    const ignore = call.isLeftToAutoscaler && mayBeAutoscaled(live) ? [...call.ignore, REPLICAS] : call.ignore;
    const seen = inspect(object.isSealed ? wantedObjects.veil(live) : live, comparable, ignore);
    const conflict = seen.conflicts[0];
    if (conflict !== undefined) {
      const args = { object: describeId(id), cluster: port.cluster, ...conflict };
      return {
        key: object.key,
        result: 'failed',
        reason: reason('FL_APPLY_CONFLICT', args, rfc3339(port.clock.now())),
        retry: 'late',
      };
    }
    const claimed: readonly LegacyManager[] =
      adoptedFrom === undefined ? seen.intruders : [...defaultLegacyManagers, ...seen.intruders];
    const pointers = [...ignore, ...seen.yielded];
    const toApply = pointers.length === 0 ? body : adjustBody(body, live, pointers, claimed);
    const isAsWanted = seen.drift === undefined && isMarked(live.metadata, job.owner, object.key) && adoptedFrom === undefined;
    if (isAsWanted) {
      const health = judgeHealth(live, object.key, port.cluster, port.clock.now());
      ports.watcher.noteWritten(object.key, live.metadata.resourceVersion ?? '');
      return {
        key: object.key,
        result: 'unchanged',
        health: health.health,
        ...(health.reason === undefined ? {} : { reason: health.reason }),
      };
    }
    const current = claimed.length === 0 ? live : await claim(live, claimed, call, ports);
    const done = await write(call, toApply, true, { resourceVersion: current.metadata.resourceVersion ?? '' }, ports);
    if (done.result === 'failed' || done.result === 'skipped') return done;
    return {
      ...done,
      ...(adoptedFrom === undefined ? {} : { adoptedFrom }),
      ...(seen.drift === undefined ? {} : { found: seen.drift }),
    };
  } catch (error) {
    if (attempt < 3 && error instanceof FairleadError && error.code === 'FL_KUBE_CONFLICT') {
      return lookThenApply(call, adoptedFrom, ports, attempt + 1);
    }
    throw error;
  }
}

/** Fields that kubectl, Helm or a console wrote become ours, so that the apply that follows removes those Git does not have. */
async function claim(
  live: KubeObject,
  managers: readonly LegacyManager[],
  call: Call,
  { port }: ApplyPorts,
): Promise<KubeObject> {
  const operations = claimLegacyOwnership(live, { ours: FIELD_MANAGER, legacyManagers: managers });
  if (operations === undefined) return live;
  port.mayWrite();
  const impersonate = actingAs(call.job.wanted.serviceAccount);
  return jsonPatch(port.client, call.mapping, parseId(call.object.key), operations, {
    fieldManager: FIELD_MANAGER,
    signal: call.signal,
    ...(impersonate === undefined ? {} : { impersonate }),
  });
}

async function write(
  call: Call,
  body: Uint8Array,
  force: boolean,
  previous: { readonly resourceVersion: string } | null | undefined,
  { port, watcher }: ApplyPorts,
): Promise<ObjectOutcome> {
  const { object, mapping, job, signal } = call;
  port.mayWrite();
  const impersonate = actingAs(job.wanted.serviceAccount);
  // Without a status there is nothing to learn from the whole object.
  const metadataOnly = !mapping.hasStatus && !isDefinition(object);
  const { result, live } = await applyObject(port.client, mapping, parseId(object.key), body, {
    fieldManager: FIELD_MANAGER,
    force,
    metadataOnly,
    signal,
    ...(previous === undefined ? {} : { previous }),
    ...(impersonate === undefined ? {} : { impersonate }),
  });
  watcher.noteWritten(object.key, live.metadata.resourceVersion ?? '');
  if (metadataOnly) return { key: object.key, result, health: 'healthy' };
  const judged = judgeHealth(live, object.key, port.cluster, port.clock.now());
  return { key: object.key, result, health: judged.health, ...(judged.reason === undefined ? {} : { reason: judged.reason }) };
}

function terminating(object: PlannedObject, port: ClusterPort, finalizers: unknown): ObjectOutcome {
  const args = {
    object: describeId(parseId(object.key)),
    cluster: port.cluster,
    finalizers: typeof finalizers === 'string' ? finalizers : 'none',
  };
  return {
    key: object.key,
    result: 'failed',
    retry: 'soon',
    reason: reason('FL_APPLY_TERMINATING', args, rfc3339(port.clock.now())),
  };
}

function isDefinition(object: PlannedObject): boolean {
  return object.id.group === 'apiextensions.k8s.io' && object.id.kind === 'CustomResourceDefinition';
}

const ESTABLISH_TIMEOUT_MS = 30_000;

/** Waits until the API server serves these kinds; those it does not serve in time have failed. */
async function untilEstablished(
  definitions: readonly PlannedObject[],
  port: ClusterPort,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ObjectOutcome>> {
  const late = new Map<string, ObjectOutcome>();
  const deadline = port.clock.monotonic() + ESTABLISH_TIMEOUT_MS;
  await Promise.all(
    definitions.map(async (object) => {
      const mapping = await port.mapper.mapping(object.id);
      let words = 'it is not established yet';
      for (;;) {
        try {
          const live = await getObject(port.client, mapping, parseId(object.key), { signal });
          if (live !== null && isEstablished(live)) return;
        } catch (error) {
          words = messageOf(error);
        }
        if (signal.aborted || port.clock.monotonic() > deadline) break;
        await port.clock.sleep(100, signal).catch(() => undefined);
      }
      const about = { object, verb: 'establish', serviceAccount: undefined };
      const error = new FairleadError('FL_AGENT_NOT_ESTABLISHED', words, { kind: 'unavailable' });
      late.set(object.key, { key: object.key, result: 'failed', ...failureOf(error, about, port) });
    }),
  );
  return late;
}

function isEstablished(definition: KubeObject): boolean {
  const status = definition['status'];
  const conditions: unknown =
    typeof status === 'object' && status !== null && 'conditions' in status ? status.conditions : undefined;
  return (
    Array.isArray(conditions) &&
    (conditions as readonly { readonly type?: unknown; readonly status?: unknown }[]).some(
      (one) => one.type === 'Established' && one.status === 'True',
    )
  );
}
