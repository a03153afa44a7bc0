import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '#base';
import { Application, conditionOf, Delivery, formatKey, isReasonCode, keyOf, parseKey, reasonOf, Release } from '#api';
import { wakeOn, type Controller, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import { summarise, withStanding, type DeliverySummary } from './application-status.ts';
import { asRead } from './new-object.ts';
import { deliveriesOf, eachPage } from './shadow.ts';

/** At most one count per Application in this time: a fleet that reports does not write once per report. */
const quietMs = 1_000;

/** Sums up the Deliveries of each Application in its status. */
export function createStatusController(): Controller {
  const lookedAt = new Map<string, number>();
  return {
    name: 'application-status',
    concurrency: 4,
    wakes: [
      wakeOn(Application, ({ type, before, after }) =>
        type === 'deleted' || isDeepStrictEqual(groundOf(before), groundOf(after)) ? [] : [formatKey(keyOf(after))],
      ),
      wakeOn(Delivery, ({ type, before, after }) =>
        type === 'modified' && isDeepStrictEqual(verdictOf(before), verdictOf(after))
          ? []
          : [`${after.metadata.namespace ?? ''}/${after.spec.application}`],
      ),
    ],
    initial: async (read) => {
      const keys: string[] = [];
      await eachPage(read, Application, (application) => keys.push(formatKey(keyOf(application))));
      return keys;
    },
    reconcile: (key, context) => reconcile(key, context, lookedAt),
  };
}

/** Of an Application, what its summary stands on beside its Deliveries. */
function groundOf(application: Application | undefined): unknown {
  const { release, reason, commit, plane } = application?.status ?? {};
  return [application?.metadata.generation, release, reason, commit, plane];
}

/** Of a Delivery, what a summary counts. */
function verdictOf(delivery: Delivery | undefined): unknown {
  if (delivery === undefined) return undefined;
  const { spec, status, metadata } = delivery;
  const ready = conditionOf(delivery, 'Ready');
  const isCurrent = status?.observedGeneration === metadata.generation;
  return [spec.wanted, spec.retire === undefined, isCurrent, ready?.status, ready?.reason, ready?.message];
}

async function reconcile(key: string, context: ReconcileContext, lookedAt: Map<string, number>): Promise<ReconcileResult> {
  const { read, clock } = context;
  const waitMs = (lookedAt.get(key) ?? Number.NEGATIVE_INFINITY) + quietMs - clock.monotonic();
  if (waitMs > 0) return { againMs: waitMs };
  const application = await read.get(Application, parseKey(key));
  if (application?.status === undefined || application.metadata.deletionTimestamp !== undefined) {
    lookedAt.delete(key);
    return {};
  }
  lookedAt.set(key, clock.monotonic());
  const { release: newest, reason } = application.status;
  const deliveries = await deliveriesOf(application, read);
  const release =
    newest === undefined ? undefined : await read.get(Release, { namespace: parseKey(key).namespace, name: newest.name });
  // Before the first Release there is nothing to sum up, unless clusters wait for it.
  const summary: DeliverySummary | undefined =
    newest === undefined && deliveries.length === 0 ? undefined : summarise(deliveries, release);
  const known = reason !== undefined && isReasonCode(reason.code) ? reasonOf(reason.code, reason.args) : undefined;
  const status = withStanding(application, application.status, { reason: known, summary, now: rfc3339(clock.now()) });
  if (isDeepStrictEqual(status, application.status)) return {};
  return {
    commit: {
      expect: [asRead(Application, application)],
      write: [{ op: 'put', kind: Application, object: { ...application, status } }],
    },
  };
}
