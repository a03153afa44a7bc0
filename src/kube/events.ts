import { rfc3339, shortHash, systemClock, type Clock, type Log } from '#base';
import type { CallOptions } from './apply.ts';
import type { KubeClient } from './client.ts';
import { resourcePath } from './discovery.ts';
import { hasStatus } from './errors.ts';
import { parseJson } from './json.ts';
import { formatId, getIn, numberOf, textOf, type ObjectId } from './objects.ts';
import { capBytes, redactMessage } from './redact.ts';

const EVENTS = { group: '', version: 'v1', resource: 'events', namespaced: true } as const;

export interface RecordedEvent {
  readonly about: ObjectId & { readonly apiVersion: string; readonly uid?: string };
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, stable: events with the same object, reason and message are one event with a count. */
  readonly reason: string;
  readonly message: string;
}

export interface EventRecorder {
  /** Writes or counts up one event. Never rejects: an event that cannot be written is dropped and counted. */
  record(event: RecordedEvent, call?: CallOptions): Promise<void>;
  /** Events that were not written, because of errors or of more than 25 at once about one object. */
  readonly dropped: number;
}

export interface EventRecorderOptions {
  readonly client: KubeClient;
  /** `source.component`, such as `fairlead-agent`. */
  readonly component: string;
  /** Where events about cluster-scoped objects go. Default `default`, as in Kubernetes. */
  readonly namespace?: string;
  readonly log: Log;
  readonly clock?: Clock;
}

interface Known {
  readonly name: string;
  count: number;
  lastAt: number;
}

const MAX_KNOWN = 1024;
const SAME_EVENT_MS = 10 * 60_000;
// As client-go's EventSourceObjectSpamFilter: a burst of 25 per object, then one every five minutes.
const BURST = 25;
const REFILL_MS = 300_000;

/** Core v1 Events, aggregated: the same words about the same object within ten minutes raise a count instead of adding an object. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const clock = options.clock ?? systemClock;
  const known = new Map<string, Known>();
  const budgets = new Map<string, { tokens: number; at: number }>();
  let dropped = 0;

  function mayWrite(object: string): boolean {
    const now = clock.monotonic();
    const budget = budgets.get(object) ?? { tokens: BURST, at: now };
    const tokens = Math.min(BURST, budget.tokens + (now - budget.at) / REFILL_MS);
    remember(budgets, object, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now });
    return tokens >= 1;
  }

  async function create(event: RecordedEvent, namespace: string, message: string, key: string, call: CallOptions): Promise<void> {
    const at = rfc3339(clock.now());
    const name = `${capBytes(event.about.name, 200).replace(/…$/, '')}.${shortHash(key, String(clock.now()))}`;
    await options.client.request({
      ...call,
      method: 'POST',
      path: resourcePath(EVENTS, namespace),
      body: JSON.stringify({
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name, namespace },
        involvedObject: {
          apiVersion: event.about.apiVersion,
          kind: event.about.kind,
          name: event.about.name,
          ...(event.about.namespace === '' ? {} : { namespace: event.about.namespace }),
          ...(event.about.uid === undefined ? {} : { uid: event.about.uid }),
        },
        type: event.type,
        reason: event.reason,
        message,
        count: 1,
        firstTimestamp: at,
        lastTimestamp: at,
        source: { component: options.component },
        reportingComponent: options.component,
        reportingInstance: '',
      }),
    });
    remember(known, key, { name, count: 1, lastAt: clock.monotonic() });
  }

  /** False when the event has expired in the cluster. */
  async function countUp(before: Known, namespace: string, call: CallOptions): Promise<boolean> {
    try {
      const response = await options.client.request({
        ...call,
        method: 'PATCH',
        path: resourcePath(EVENTS, namespace, before.name),
        contentType: 'application/merge-patch+json',
        body: JSON.stringify({ count: before.count + 1, lastTimestamp: rfc3339(clock.now()) }),
      });
      before.count = numberOf(getIn(parseJson(response.body, 'the Event'), 'count')) ?? before.count + 1;
      before.lastAt = clock.monotonic();
      return true;
    } catch (error) {
      if (hasStatus(error, 404)) return false;
      throw error;
    }
  }

  return {
    get dropped() {
      return dropped;
    },
    async record(event, call = {}) {
      const object = formatId(event.about);
      const message = redactMessage(event.message, { kind: event.about.kind });
      const namespace = event.about.namespace || (options.namespace ?? 'default');
      const key = [object, event.about.uid ?? '', event.type, event.reason, message].join('\n');
      if (!mayWrite(object)) {
        dropped += 1;
        return;
      }
      try {
        const before = known.get(key);
        const isSame = before !== undefined && clock.monotonic() - before.lastAt < SAME_EVENT_MS;
        if (!isSame || !(await countUp(before, namespace, call))) await create(event, namespace, message, key, call);
      } catch (error) {
        dropped += 1;
        options.log.debug({ object, reason: textOf(event.reason), error }, 'an event could not be written');
      }
    },
  };
}

/** Puts at the end and lets the oldest go beyond the bound. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > MAX_KNOWN)
    for (const oldest of map.keys()) {
      map.delete(oldest);
      break;
    }
}
