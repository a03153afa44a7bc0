import { FairleadError, rfc3339, sha256 } from '#base';
import {
  AgentIdentity,
  agentRefusals,
  Cluster,
  Delivery,
  DesiredStateRow,
  Event,
  open,
  payloadTypes,
  type DesiredPosition,
  type DesiredState,
  type Envelope,
} from '#api';
import type { Expectation, Write } from '#plane/store';
import { clusterKey, deliveriesTo, documentOf, readComposeInput, revisionOf, type ReleaseCache } from './compose-inputs.ts';
import type { AgentsContext } from './context.ts';
import { composeContent, issue } from './desired-state.ts';
import { clusterEvent } from './event-lane.ts';
import { isAhead, standingOf } from './positions.ts';
import { issuesOf, rowObject, withIssues } from './publisher.ts';
import { adopt } from './recovery.ts';
import { validate } from './validators.ts';

const MAX_TRIES = 5;
const MAX_WRITES = 400;

/**
 * The desired state in an envelope that this plane signed for this cluster. Errors: FL_SIGNATURE, FL_AGENT_REQUEST,
 * FL_AGENT_TOKEN.
 */
export function openProof(
  context: AgentsContext,
  envelope: Envelope,
  cluster: string,
): { document: DesiredState; position: DesiredPosition } {
  const bytes = open(envelope, payloadTypes.desired, context.keys.verifyKeys);
  const document = validate.desired.parse(bytes);
  if (document.planeId !== context.keys.planeId || document.cluster !== cluster) {
    throw new FairleadError(agentRefusals.token, `the proof is a desired state of another plane or cluster, not of ${cluster}`, {
      kind: 'denied',
    });
  }
  return { document, position: { epoch: document.epoch, seq: document.seq, digest: sha256(bytes) } };
}

/**
 * Goes on from what an agent proves to hold, if that comes from another history of this plane: Deliveries want at least
 * that, the Cluster is in recovery, and a document under the next number is signed, deletions paused, all in one commit.
 * `normal`: the proof shows nothing that this plane does not know; the agent is simply behind.
 */
export async function recover(
  context: AgentsContext,
  releases: ReleaseCache,
  name: string,
  proof: Envelope,
): Promise<'recovered' | 'normal'> {
  const { document, position } = openProof(context, proof, name);
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const done = await tryRecover(context, releases, name, document, position);
    if (done !== undefined) return done;
  }
  throw new FairleadError('FL_RECOVERY_BUSY', `cluster ${name} changed again and again during its recovery; try again`, {
    kind: 'unavailable',
    retryAfterMs: 1000,
  });
}

async function tryRecover(
  context: AgentsContext,
  releases: ReleaseCache,
  name: string,
  proven: DesiredState,
  held: DesiredPosition,
): Promise<'recovered' | 'normal' | undefined> {
  const { store, keys, clock, newUid, log } = context;
  const [cluster, identity, row] = await Promise.all([
    store.get(Cluster, clusterKey(name)),
    store.get(AgentIdentity, clusterKey(name)),
    store.get(DesiredStateRow, clusterKey(name)),
  ]);
  if (cluster === undefined || identity === undefined || identity.spec.detached === true) return 'normal';
  const standing = standingOf(row?.spec, held);
  if (standing === 'current' || standing === 'behind') return 'normal';
  const deliveries = await deliveriesTo(store, name);
  if (standing === 'unsure') {
    const wanted = new Map(
      deliveries.map((one) => [
        `${one.metadata.namespace ?? ''}/${one.spec.application}`,
        { number: one.spec.wanted?.number ?? 0, bundle: one.spec.wanted?.bundle ?? '' },
      ]),
    );
    if (!isAhead(proven, wanted)) return 'normal';
  }

  const nowMs = clock.now();
  const before = row === undefined ? undefined : documentOf(row);
  const adoption = adopt({ cluster, deliveries, proven, held, now: rfc3339(nowMs), newUid });
  const revisions = new Map(
    deliveries.map((one) => [one.metadata.name + '\n' + (one.metadata.namespace ?? ''), revisionOf(one)]),
  );
  const changes = adoption.changed.map((one): { expect: Expectation; write: Write } => {
    const key = { namespace: one.metadata.namespace ?? '', name: one.metadata.name };
    return {
      expect: { kind: Delivery, key, revision: revisions.get(`${key.name}\n${key.namespace}`) ?? 'absent' },
      write: { op: 'put', kind: Delivery, object: one },
    };
  });
  // A cluster with very many applications: what is raised first is raised for good, and the rest follows.
  while (changes.length > MAX_WRITES) {
    const chunk = changes.splice(0, MAX_WRITES);
    const result = await store.commit({ expect: chunk.map((one) => one.expect), write: chunk.map((one) => one.write) });
    if (!result.ok) return undefined;
  }

  const input = await readComposeInput(store, releases, {
    keys,
    cluster: adoption.cluster,
    identity,
    deliveries: adoption.deliveries,
    previous: before === undefined ? [proven] : [proven, before],
  });
  const content = composeContent(input);
  const spec = issue({ content, issued: row?.spec, adopted: held, signers: [keys.signer], now: new Date(nowMs).toISOString() });
  const issued = row === undefined ? 'nothing' : `${row.spec.position.epoch}.${row.spec.position.seq}`;
  const publish = {
    expect: [
      { kind: Cluster, key: clusterKey(name), revision: revisionOf(cluster) },
      { kind: DesiredStateRow, key: clusterKey(name), revision: row === undefined ? ('absent' as const) : revisionOf(row) },
      ...changes.map((one) => one.expect),
    ],
    write: [
      { op: 'put' as const, kind: Cluster, object: adoption.cluster },
      { op: 'put' as const, kind: DesiredStateRow, object: rowObject(name, row, spec, nowMs, newUid) },
      ...changes.map((one) => one.write),
      {
        op: 'put' as const,
        kind: Event,
        object: clusterEvent(
          cluster,
          {
            code: 'FL_RECOVERY_STARTED',
            args: { cluster: name, held: `${held.epoch}.${held.seq}`, issued, position: `${held.epoch}.${held.seq}` },
          },
          'Warning',
          nowMs,
          newUid,
        ),
      },
    ],
    audit: {
      actor: `agent/${name}`,
      verb: 'recover',
      object: `Cluster//${name}`,
      at: new Date(nowMs).toISOString(),
      details: { held, issued, deliveries: adoption.changed.length },
    },
  };
  for (const transaction of withIssues(publish, await issuesOf(store, name, content, before))) {
    const result = await store.commit(transaction);
    if (!result.ok) return undefined;
  }
  log.warn(
    { cluster: name, held: `${held.epoch}.${held.seq}`, issued },
    'a cluster is ahead of this plane: deletions are paused there',
  );
  return 'recovered';
}
