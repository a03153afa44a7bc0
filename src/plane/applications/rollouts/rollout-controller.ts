import type { NewId } from '#base';
import { Application, Cluster, Delivery, deliveryName, formatKey, keyOf, parseKey, Project, Release, type Key } from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import type { Expectation, Transaction, Write } from '#plane/store';
import type { Fleet } from '../fleet.ts';
import { asRead, newObject, withSpec } from '../new-object.ts';
import { DELIVERIES_FINALIZER, ROLLOUT_ACTOR } from '../names.ts';
import { DELIVERIES_PER_CHUNK } from '../retire.ts';
import { eachPage } from '../shadow.ts';
import { isTargeted } from '../targets.ts';
import { planAssignment, type Assignment } from './plan-assignment.ts';

export interface RolloutControllerOptions {
  readonly fleet: Fleet;
  readonly newId: NewId;
}

/** Assigns the newest Release of an Application to its Deliveries. One key per Application; nobody else sets `wanted`. */
export function createRolloutController(options: RolloutControllerOptions): Controller {
  return {
    name: 'rollouts',
    concurrency: 4,
    wakes: [
      ...options.fleet.wakes(),
      wakeOn(Release, ({ type, after }) => (type === 'added' ? [applicationKey(after)] : [])),
      wakeOn(Project, ({ type, before, after }, read) =>
        type === 'modified' && before?.metadata.generation === after.metadata.generation
          ? []
          : options.fleet.applicationsOf(read, after),
      ),
      wakeOn(Cluster, ({ type, after }, read) => (type === 'deleted' ? deliveredTo(read, after.metadata.name) : [])),
      // Nobody else sets what a Delivery wants; what was let go of or lost is looked at again.
      wakeOn(Delivery, ({ type, after }) => (type === 'deleted' ? [applicationKey(after)] : [])),
    ],
    initial: async (read) => {
      await options.fleet.reload(read);
      const keys = new Set<string>();
      await eachPage(read, Application, (application) => keys.add(formatKey(keyOf(application))));
      // Deliveries may be there without their Application: the cluster may be gone meanwhile.
      await eachPage(read, Delivery, (delivery) => keys.add(applicationKey(delivery)));
      return [...keys];
    },
    reconcile: (key, context) => reconcile(key, context, options),
  };
}

function applicationKey(object: {
  readonly metadata: { readonly namespace?: string };
  readonly spec: { readonly application: string };
}): string {
  return `${object.metadata.namespace ?? ''}/${object.spec.application}`;
}

async function deliveredTo(read: Reader, cluster: string): Promise<string[]> {
  const keys: string[] = [];
  await eachPage(read, Delivery, (delivery) => keys.push(applicationKey(delivery)), {
    fields: [{ path: 'spec.cluster', operator: '=', value: cluster }],
  });
  return keys;
}

async function reconcile(key: string, context: ReconcileContext, options: RolloutControllerOptions): Promise<ReconcileResult> {
  const { read, clock } = context;
  const { namespace, name } = parseKey(key);
  const application = await read.get(Application, { namespace, name });
  const deliveries: Delivery[] = [];
  const fields = [{ path: 'spec.application', operator: '=', value: name }] as const;
  await eachPage(read, Delivery, (delivery) => deliveries.push(delivery), { namespace, fields });
  const fleet = await options.fleet.clusters(read);
  const made = { nowMs: clock.now(), newId: options.newId };
  if (application === undefined) {
    const names = new Set(fleet.map((cluster) => cluster.name));
    const gone = deliveries.filter(({ spec }) => !names.has(spec.cluster));
    const plan = gone.map((delivery): Assignment => ({ do: 'drop', delivery, because: 'cluster-gone' }));
    // What is left of the Application goes with its last Delivery.
    if (gone.length < deliveries.length) return { chunks: chunksOf(plan, { namespace, name }, undefined, made) };
    return { chunks: [...chunksOf(plan, { namespace, name }, undefined, made), ...(await leftovers(read, { namespace, name }))] };
  }
  // The release controller holds it first: from then on its deletion is an instruction that nobody can miss.
  if (
    application.metadata.deletionTimestamp === undefined &&
    !(application.metadata.finalizers ?? []).includes(DELIVERIES_FINALIZER)
  )
    return {};
  const releaseName = application.status?.release?.name;
  const found = releaseName === undefined ? undefined : await read.get(Release, { namespace, name: releaseName });
  const release = found?.spec.applicationUid === application.metadata.uid ? found : undefined;
  const project = await read.get(Project, { namespace: '', name: namespace });
  const plan = planAssignment({ application, project, release, fleet, deliveries, actor: ROLLOUT_ACTOR, ...made });
  const sure = await confirmed(plan, application, read);
  return { chunks: chunksOf(sure, { namespace, name }, application, made) };
}

/**
 * The fleet in memory may be a moment old. Where that could tell a cluster to let go, the cluster itself is asked again; a
 * dropped Delivery is guarded by an expectation.
 */
async function confirmed(plan: readonly Assignment[], application: Application, read: Reader): Promise<readonly Assignment[]> {
  const sure: Assignment[] = [];
  for (const one of plan) {
    if (one.do === 'update' && one.retire !== undefined) {
      const cluster = await read.get(Cluster, { namespace: '', name: one.delivery.spec.cluster });
      if (cluster === undefined || isTargeted(application, cluster.metadata.labels ?? {})) continue;
    }
    sure.push(one);
  }
  return sure;
}

function chunksOf(
  plan: readonly Assignment[],
  application: Key,
  object: Application | undefined,
  made: { readonly nowMs: number; readonly newId: NewId },
): Transaction[] {
  const chunks: Transaction[] = [];
  for (let at = 0; at < plan.length; at += DELIVERIES_PER_CHUNK) {
    const part = plan.slice(at, at + DELIVERIES_PER_CHUNK);
    const expect: Expectation[] = part.flatMap((one) => expectationsOf(one, application));
    // An instruction to let go stands on the targets that were read. A new Delivery must not come after a deletion has told
    // all there were to let go: nobody would tell that one.
    if (object !== undefined && part.some((one) => one.do === 'create' || (one.do === 'update' && one.retire !== undefined)))
      expect.push(asRead(Application, object));
    chunks.push({ expect, write: part.map((one) => writeOf(one, application, made)) });
  }
  return chunks;
}

function expectationsOf(one: Assignment, application: Key): Expectation[] {
  switch (one.do) {
    case 'create':
      return [{ kind: Delivery, key: deliveryKey(application, one.cluster), revision: 'absent' }];
    case 'update':
      return [asRead(Delivery, one.delivery)];
    case 'drop':
      return [
        asRead(Delivery, one.delivery),
        ...(one.because === 'cluster-gone'
          ? [{ kind: Cluster, key: { namespace: '', name: one.delivery.spec.cluster }, revision: 'absent' } as const]
          : []),
      ];
  }
}

function writeOf(one: Assignment, application: Key, made: { readonly nowMs: number; readonly newId: NewId }): Write {
  switch (one.do) {
    case 'create': {
      const spec = {
        application: application.name,
        cluster: one.cluster,
        ...(one.wanted === undefined ? {} : { wanted: one.wanted }),
      };
      return { op: 'put', kind: Delivery, object: newObject(Delivery, deliveryKey(application, one.cluster), spec, made) };
    }
    case 'update': {
      const { wanted: _wanted, retire: _retire, ...rest } = one.delivery.spec;
      const spec = {
        ...rest,
        ...(one.wanted === undefined ? {} : { wanted: one.wanted }),
        ...(one.retire === undefined ? {} : { retire: one.retire }),
      };
      return { op: 'put', kind: Delivery, object: withSpec(one.delivery, spec) };
    }
    case 'drop':
      return { op: 'delete', kind: Delivery, key: keyOf(one.delivery) };
  }
}

function deliveryKey({ namespace, name }: Key, cluster: string): Key {
  return { namespace, name: deliveryName(name, cluster) };
}

/** Releases of an Application that is gone and delivered nowhere any more. */
async function leftovers(read: Reader, { namespace, name }: Key): Promise<Transaction[]> {
  const writes: Write[] = [];
  const fields = [{ path: 'spec.application', operator: '=', value: name }] as const;
  await eachPage(read, Release, (release) => writes.push({ op: 'delete', kind: Release, key: keyOf(release) }), {
    namespace,
    fields,
  });
  if (writes.length === 0) return [];
  const expect: Expectation[] = [{ kind: Application, key: { namespace, name }, revision: 'absent' }];
  return Array.from({ length: Math.ceil(writes.length / 500) }, (_, i) => ({
    expect,
    write: writes.slice(i * 500, i * 500 + 500),
  }));
}
