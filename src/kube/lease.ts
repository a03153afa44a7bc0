import { FairleadError, systemClock, type Clock } from '#base';
import type { CallOptions } from './apply.ts';
import type { KubeClient } from './client.ts';
import { resourcePath } from './discovery.ts';
import { hasStatus } from './errors.ts';
import { parseJson } from './json.ts';
import { getIn, numberOf, textOf, type KubeObject } from './objects.ts';

const LEASES = { group: 'coordination.k8s.io', version: 'v1', resource: 'leases', namespaced: true } as const;

export interface LeaseOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Unique for each process: two agents with one identity would both believe they hold it. */
  readonly identity: string;
  /** Whole seconds; how long others wait after the last renewal they saw. Default 60. */
  readonly durationSeconds?: number;
  readonly clock?: Clock;
}

export interface LeaseState {
  readonly isHeld: boolean;
  /** Whoever holds it; '' when nobody does. */
  readonly holder: string;
  /** `spec.leaseTransitions`: grows with every change of holder, so it fences off an earlier one. */
  readonly transitions: number;
  /** Ours: ms until it must be renewed. Another's: ms until it may be taken. */
  readonly expiresInMs: number;
}

export interface Lease {
  /** Takes the lease if it is free or has run out, renews it if it is ours. A lost race is a state, not an error. */
  acquire(options?: CallOptions): Promise<LeaseState>;
  /** Gives it up, so that another can take it at once. */
  release(options?: CallOptions): Promise<void>;
  /** Whether it is certainly ours now, by our own clock alone; false from two thirds of its duration after the last renewal began. */
  isHeld(): boolean;
}

/**
 * One coordination.k8s.io Lease, so that of two agents one applies. Clocks of different machines are never compared: a
 * holder counts as gone when its record has not changed for its duration by *our* clock (client-go's leaderelection
 * does the same), and we stop believing in our own lease well before anyone may take it.
 */
export function createLease(options: LeaseOptions): Lease {
  const clock = options.clock ?? systemClock;
  const durationSeconds = options.durationSeconds ?? 60;
  const path = resourcePath(LEASES, options.namespace);
  const own = resourcePath(LEASES, options.namespace, options.name);
  let observed: { readonly record: string; readonly at: number } | undefined;
  let heldUntil = Number.NEGATIVE_INFINITY;

  function held(transitions: number, since: number): LeaseState {
    heldUntil = since + (durationSeconds * 1000 * 2) / 3;
    return { isHeld: true, holder: options.identity, transitions, expiresInMs: heldUntil - clock.monotonic() };
  }

  async function read(call: CallOptions): Promise<KubeObject | undefined> {
    try {
      const response = await options.client.request({ ...call, method: 'GET', path: own });
      return parseJson(response.body, 'the Lease') as KubeObject; // a Lease, by the path
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  function spec(transitions: number, acquireTime: string): Record<string, unknown> {
    return {
      holderIdentity: options.identity,
      leaseDurationSeconds: durationSeconds,
      acquireTime,
      renewTime: microTime(clock.now()),
      leaseTransitions: transitions,
    };
  }

  async function write(method: 'POST' | 'PUT', body: unknown, call: CallOptions): Promise<KubeObject | undefined> {
    try {
      const response = await options.client.request({
        ...call,
        method,
        path: method === 'POST' ? path : own,
        body: JSON.stringify(body),
      });
      return parseJson(response.body, 'the Lease') as KubeObject; // the Lease as written
    } catch (error) {
      if (hasStatus(error, 409)) return undefined;
      throw error;
    }
  }

  async function lost(call: CallOptions): Promise<LeaseState> {
    const winner = await read(call);
    return observe(winner);
  }

  function observe(lease: KubeObject | undefined): LeaseState {
    heldUntil = Number.NEGATIVE_INFINITY;
    // The record and not the resourceVersion: whoever waits may note so on the object, which is no sign of life of its holder.
    const record = JSON.stringify([lease?.metadata.uid, lease?.['spec']]);
    if (observed?.record !== record) observed = { record, at: clock.monotonic() };
    const seconds = numberOf(getIn(lease, 'spec', 'leaseDurationSeconds')) ?? durationSeconds;
    return {
      isHeld: false,
      holder: textOf(getIn(lease, 'spec', 'holderIdentity')) ?? '',
      transitions: numberOf(getIn(lease, 'spec', 'leaseTransitions')) ?? 0,
      expiresInMs: Math.max(0, observed.at + seconds * 1000 - clock.monotonic()),
    };
  }

  return {
    isHeld: () => clock.monotonic() < heldUntil,
    async acquire(call = {}) {
      const startedAt = clock.monotonic();
      const lease = await read(call);
      if (lease === undefined) {
        const body = {
          apiVersion: 'coordination.k8s.io/v1',
          kind: 'Lease',
          metadata: { name: options.name, namespace: options.namespace },
          spec: spec(0, microTime(clock.now())),
        };
        return (await write('POST', body, call)) === undefined ? lost(call) : held(0, startedAt);
      }
      const holder = textOf(getIn(lease, 'spec', 'holderIdentity')) ?? '';
      const before = numberOf(getIn(lease, 'spec', 'leaseTransitions')) ?? 0;
      const isOurs = holder === options.identity;
      if (!isOurs && holder !== '') {
        const state = observe(lease);
        if (state.expiresInMs > 0) return state;
      }
      const transitions = isOurs ? before : before + 1;
      const acquireTime = isOurs
        ? (textOf(getIn(lease, 'spec', 'acquireTime')) ?? microTime(clock.now()))
        : microTime(clock.now());
      // With the resourceVersion we read: of two that try, the API server lets one through.
      const written = await write('PUT', { ...lease, spec: spec(transitions, acquireTime) }, call);
      return written === undefined ? lost(call) : held(transitions, startedAt);
    },
    async release(call = {}) {
      heldUntil = Number.NEGATIVE_INFINITY;
      const lease = await read(call);
      if (lease === undefined || textOf(getIn(lease, 'spec', 'holderIdentity')) !== options.identity) return;
      const spec = lease['spec'] as Record<string, unknown>; // just read from it
      await write('PUT', { ...lease, spec: { ...spec, holderIdentity: '', leaseDurationSeconds: 1 } }, call);
    },
  };
}

/** Rejects unless the lease is certainly ours now; to stand before every write. */
export function requireLease(lease: Lease, name: string): void {
  if (lease.isHeld()) return;
  throw new FairleadError('FL_KUBE_LEASE_LOST', `the lease ${name} is not held any more; nothing is written until it is`, {
    kind: 'conflict',
    retryable: true,
  });
}

/** `metav1.MicroTime`. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
