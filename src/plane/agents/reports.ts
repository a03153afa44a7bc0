import { FairleadError, TokenBuckets } from '#base';
import { Cluster, Delivery, deliveryName, Event, type AgentEvent, type ReportRequest, type ReportResponse } from '#api';
import type { Expectation, Transaction, Write } from '#plane/store';
import { clusterKey, deliveriesTo, revisionOf } from './compose-inputs.ts';
import type { AgentsContext } from './context.ts';
import { boundReason, clusterEvent, countEvent, eventKey } from './event-lane.ts';
import type { LiveBook } from './live-book.ts';
import type { ServedApisBook } from './served-apis.ts';

const MAX_TRIES = 5;
const RESYNC_AGAIN_MS = 15_000;
/** Event rows of one cluster: what comes faster is dropped and counted. */
const eventBudget = { burst: 500, perSecond: 5 };

/**
 * Takes reports. The event lane and acknowledged retirements are committed before the answer; the state lane is taken after
 * that, so that a failed commit is repeated whole by the agent. What an agent says of Deliveries that are not its own
 * cluster's is not looked at.
 */
export class Reports {
  readonly #context: AgentsContext;
  readonly #live: LiveBook;
  readonly #apis: ServedApisBook;
  readonly #eventRows = new TokenBuckets();

  constructor(context: AgentsContext, live: LiveBook, apis: ServedApisBook) {
    this.#context = context;
    this.#live = live;
    this.#apis = apis;
  }

  /** Errors: FL_REPORT_BUSY, FL_AGENT_REQUEST. */
  async take(cluster: string, request: ReportRequest, signedAtMs: number): Promise<ReportResponse> {
    const report = bounded(request);
    if (report.events.length > 0 || report.retired.length > 0 || report.gap > 0) await this.#commit(cluster, report);
    const nowMs = this.#context.clock.now();
    const contactChanged = this.#live.heard(cluster, nowMs, 0, { boot: report.boot, isReport: true });
    const taken = this.#live.takeReport(cluster, report, signedAtMs);
    if (taken.is === 'stale') {
      if (contactChanged) this.#live.tell({ of: 'cluster', cluster });
      return { resync: false };
    }
    for (const key of taken.changed) this.#live.tellReport(cluster, key);
    if (contactChanged || taken.agentChanged) this.#live.tell({ of: 'cluster', cluster });
    await this.#live.settled();
    // After the lane, which knows what is stale; where this fails the agent sends the same number again.
    const needsApis = report.apis !== undefined && !(await this.#apis.take(cluster, report.apis));
    // A full report that is still not what it says of itself: asking again at once would give the same.
    return {
      resync: taken.resync,
      ...(needsApis ? { needsApis } : {}),
      ...(taken.resync && report.full ? { retryAfterMs: RESYNC_AGAIN_MS } : {}),
    };
  }

  async #commit(cluster: string, report: ReportRequest): Promise<void> {
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      if (await this.#tryCommit(cluster, report, attempt === 0)) return;
    }
    throw new FairleadError('FL_REPORT_BUSY', `what cluster ${cluster} reports on changed again and again; send it again`, {
      kind: 'unavailable',
      retryAfterMs: 1000,
    });
  }

  async #tryCommit(cluster: string, report: ReportRequest, isFirst: boolean): Promise<boolean> {
    const { store, clock, newUid } = this.#context;
    const nowMs = clock.now();
    const expect: Expectation[] = [];
    const write: Write[] = [];
    const leaves: Transaction[] = [];

    const deliveries = new Map<string, Delivery | undefined>();
    const deliveryOf = async (project: string, application: string): Promise<Delivery | undefined> => {
      const key = `${project}/${application}`;
      if (!deliveries.has(key))
        deliveries.set(key, await store.get(Delivery, { namespace: project, name: deliveryName(application, cluster) }));
      return deliveries.get(key);
    };

    const rows = new Map<string, { readonly before: Event | undefined; after: Event | undefined }>();
    let dropped = report.gap;
    for (const event of report.events) {
      const delivery = await deliveryOf(event.project, event.application);
      if (delivery === undefined) continue;
      const key = eventKey(delivery, event, nowMs);
      const id = `${key.namespace}/${key.name}`;
      let row = rows.get(id);
      if (row === undefined) {
        const before = await store.get(Event, key);
        if (before === undefined && isFirst && this.#eventRows.take(cluster, eventBudget, nowMs) > 0) {
          dropped += 1;
          continue;
        }
        row = { before, after: undefined };
        rows.set(id, row);
      }
      row.after = countEvent(row.after ?? row.before, delivery, event, nowMs, newUid) ?? row.after;
    }
    for (const { before, after } of rows.values()) {
      if (after === undefined) continue;
      expect.push({
        kind: Event,
        key: { namespace: after.metadata.namespace ?? '', name: after.metadata.name },
        revision: before === undefined ? 'absent' : revisionOf(before),
      });
      write.push({ op: 'put', kind: Event, object: after });
    }
    const shown = dropped === 0 ? undefined : await store.get(Cluster, clusterKey(cluster));
    if (shown !== undefined) {
      const reason = { code: 'FL_EVENTS_DROPPED', args: { cluster, count: dropped } };
      write.push({ op: 'put', kind: Event, object: clusterEvent(shown, reason, 'Normal', nowMs, newUid) });
    }

    const gone = report.retired.length === 0 ? [] : await retiredOf(store, cluster, report);
    for (const { delivery, acknowledged } of gone) {
      const key = { namespace: delivery.metadata.namespace ?? '', name: delivery.metadata.name };
      const retired: AgentEvent = {
        id: `retired-${acknowledged.id}`,
        at: new Date(nowMs).toISOString(),
        project: key.namespace,
        application: delivery.spec.application,
        type: 'Normal',
        reason: {
          code: 'FL_RETIRED',
          args: { cluster, application: delivery.spec.application, objects: acknowledged.objects, result: acknowledged.result },
          since: new Date(nowMs).toISOString(),
        },
      };
      const event = countEvent(undefined, delivery, retired, nowMs, newUid);
      leaves.push({
        expect: [{ kind: Delivery, key, revision: revisionOf(delivery) }],
        write: [
          { op: 'delete', kind: Delivery, key },
          ...(event === undefined ? [] : [{ op: 'put' as const, kind: Event, object: event }]),
        ],
        audit: {
          actor: `agent/${cluster}`,
          verb: 'retire',
          object: `Delivery/${key.namespace}/${key.name}`,
          at: new Date(nowMs).toISOString(),
          details: { ...acknowledged, by: delivery.spec.retire?.actor, reason: delivery.spec.retire?.reason },
        },
      });
    }

    const transactions: Transaction[] = [...(write.length === 0 ? [] : [{ expect, write }]), ...leaves];
    for (const transaction of transactions) {
      const result = await store.commit(transaction);
      if (!result.ok) return false;
    }
    return true;
  }
}

async function retiredOf(
  store: AgentsContext['store'],
  cluster: string,
  report: ReportRequest,
): Promise<readonly { delivery: Delivery; acknowledged: ReportRequest['retired'][number] }[]> {
  const acknowledged = new Map(report.retired.map((one) => [one.id, one]));
  const found: { delivery: Delivery; acknowledged: ReportRequest['retired'][number] }[] = [];
  for (const delivery of await deliveriesTo(store, cluster)) {
    const retired = delivery.spec.retire === undefined ? undefined : acknowledged.get(delivery.spec.retire.id);
    if (retired !== undefined) found.push({ delivery, acknowledged: retired });
  }
  return found;
}

function bounded(report: ReportRequest): ReportRequest {
  return {
    ...report,
    events: report.events.map((event) => ({ ...event, reason: boundReason(event.reason) })),
    agent: report.agent.map(boundReason),
  };
}
