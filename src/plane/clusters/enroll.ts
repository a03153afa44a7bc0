import { createHash } from 'node:crypto';
import { FairleadError, randomToken, rfc3339, shortHash, type Clock, type NewId } from '#base';
import { API_VERSION, Cluster, JoinToken } from '#api';
import type { PlaneKeys } from '#plane/keys';
import type { Store } from '#plane/store';

export const DEFAULT_TTL_S = 900;
export const MAX_TTL_S = 3_600;
const MIN_TTL_S = 60;

export interface EnrollOptions {
  readonly store: Store;
  readonly keys: Pick<PlaneKeys, 'rootHash'>;
  readonly clock: Clock;
  readonly newUid: NewId;
  /** A frozen plane lets nobody in. */
  readonly frozen: () => boolean;
}

/** What the Kubernetes surface hands over of `POST clusters/<name>/enroll`. */
export interface EnrollRequest {
  readonly name: string;
  /** `{ttlSeconds?}` or nothing. */
  readonly body: unknown;
  readonly actor: string;
  readonly dryRun: boolean;
}

/** The answer; the only time that the token is in clear. */
export interface Enrollment {
  readonly apiVersion: string;
  readonly kind: 'Enrollment';
  readonly metadata: { readonly name: string };
  /** `fl1.<id>.<secret>.<root hash>` */
  readonly token: string;
  readonly expiresAt: string;
}

/**
 * The subresource by which people let an agent in: a join token for exactly one Cluster, at most an hour, kept only as a
 * hash. Errors: FL_ENROLL_CLUSTER, FL_ENROLL_TTL, FL_PLANE_FROZEN.
 */
export function createEnroll(options: EnrollOptions): {
  readonly plural: 'clusters';
  readonly name: 'enroll';
  readonly kind: 'Enrollment';
  readonly verbs: readonly string[];
  handle(request: EnrollRequest): Promise<{ readonly status: number; readonly object: Enrollment }>;
} {
  return {
    plural: 'clusters',
    name: 'enroll',
    kind: 'Enrollment',
    verbs: ['create'],
    handle: async (request) => ({ status: 201, object: await enroll(options, request) }),
  };
}

async function enroll({ store, keys, clock, newUid, frozen }: EnrollOptions, request: EnrollRequest): Promise<Enrollment> {
  if (frozen()) {
    throw new FairleadError('FL_PLANE_FROZEN', 'the plane is frozen and lets no cluster join; run fairlead plane adopt first', {
      kind: 'unavailable',
    });
  }
  const ttlSeconds = ttlOf(request.body);
  const cluster = await store.get(Cluster, { namespace: '', name: request.name });
  if (cluster === undefined) {
    throw new FairleadError('FL_ENROLL_CLUSTER', `cluster ${request.name} does not exist; create it first`, {
      kind: 'not-found',
    });
  }
  const nowMs = clock.now();
  const secret = randomToken(32);
  const id = shortHash(randomToken(16));
  const expiresAt = rfc3339(nowMs + ttlSeconds * 1000);
  const token: JoinToken = {
    apiVersion: API_VERSION,
    kind: JoinToken.kind,
    metadata: { name: id, uid: newUid(), generation: 1, creationTimestamp: rfc3339(nowMs) },
    // As the agents room compares it: sha256 of the secret, base64url.
    spec: {
      cluster: request.name,
      secretHash: createHash('sha256').update(secret).digest('base64url'),
      expiresAt,
      createdBy: request.actor,
    },
  };
  if (!request.dryRun) {
    const result = await store.commit({
      expect: [
        { kind: JoinToken, key: { namespace: '', name: id }, revision: 'absent' },
        { kind: Cluster, key: { namespace: '', name: request.name }, revision: 'present' },
      ],
      write: [{ op: 'put', kind: JoinToken, object: token }],
      audit: {
        actor: request.actor,
        verb: 'enroll',
        object: `Cluster//${request.name}`,
        at: new Date(nowMs).toISOString(),
        details: { token: id, expiresAt },
      },
    });
    if (!result.ok) {
      throw new FairleadError('FL_ENROLL_CLUSTER', `cluster ${request.name} was just deleted; create it first`, {
        kind: 'conflict',
      });
    }
  }
  return {
    apiVersion: API_VERSION,
    kind: 'Enrollment',
    metadata: { name: request.name },
    token: `fl1.${id}.${secret}.${keys.rootHash}`,
    expiresAt,
  };
}

function ttlOf(body: unknown): number {
  const given = typeof body === 'object' && body !== null && 'ttlSeconds' in body ? body.ttlSeconds : undefined;
  if (given === undefined || given === null) return DEFAULT_TTL_S;
  if (typeof given === 'number' && Number.isInteger(given) && given >= MIN_TTL_S && given <= MAX_TTL_S) return given;
  throw new FairleadError('FL_ENROLL_TTL', `ttlSeconds must be a whole number from ${MIN_TTL_S} to ${MAX_TTL_S}`, {
    kind: 'invalid',
  });
}
