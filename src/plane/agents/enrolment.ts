import { createHash, timingSafeEqual } from 'node:crypto';
import { Encrypter } from 'age-encryption';
import { FairleadError, rfc3339 } from '#base';
import {
  agentRefusals,
  AgentIdentity,
  API_VERSION,
  CAPABILITY,
  Cluster,
  Event,
  JoinToken,
  keyIdOf,
  open,
  payloadTypes,
  seal,
  type DesiredState,
  type Envelope,
  type JoinRequest,
  type JoinResponse,
  type Receipt,
  type ReturnRequest,
} from '#api';
import type { Transaction } from '#plane/store';
import { clusterKey, revisionOf } from './compose-inputs.ts';
import type { AgentsContext } from './context.ts';
import { clusterEvent } from './event-lane.ts';
import { checkApis, takeApis, type TakenApis } from './served-apis.ts';
import { validate } from './validators.ts';

const MAX_TRIES = 5;
/** Agents two versions back keep working. */
const OLDEST_CAPABILITY = Math.max(1, CAPABILITY - 2);

function denied(code: string, message: string): FairleadError {
  return new FairleadError(code, message, { kind: 'denied' });
}

interface Joining {
  readonly cluster: string;
  readonly signingKey: string;
  readonly sealingKey: string;
  readonly kubeSystemUid: string;
  readonly joinedAt: string;
}

/**
 * Takes in an agent by its join token. The token is for one cluster and is bound to the first key that presents it; the
 * same key may repeat the call and gets the same receipt. Identity, Cluster and token change in one commit.
 * Errors: FL_JOIN_TOKEN, FL_JOIN_EXPIRED, FL_JOIN_USED, FL_JOIN_CLUSTER, FL_JOIN_OTHER_CLUSTER, FL_JOIN_TWICE, FL_JOIN_KEY,
 * FL_AGENT_CAPABILITY.
 */
export async function join(context: AgentsContext, request: JoinRequest): Promise<JoinResponse> {
  checkAgent(request.capability, request);
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const done = await tryJoin(context, request);
    if (done !== undefined) return done;
  }
  throw new FairleadError('FL_JOIN_BUSY', 'the cluster changed again and again while its agent joined; try again', {
    kind: 'unavailable',
    retryAfterMs: 1000,
  });
}

async function tryJoin(context: AgentsContext, request: JoinRequest): Promise<JoinResponse | undefined> {
  const { store, clock } = context;
  const token = await store.get(JoinToken, clusterKey(request.tokenId));
  // Compared even when there is no such token, so that the answer takes the same time.
  const isSecret = isEqualHash(hashSecret(request.secret), token?.spec.secretHash ?? hashSecret(''));
  if (token === undefined || !isSecret) {
    throw denied('FL_JOIN_TOKEN', 'the join token is not known; make a new one with fairlead enroll');
  }
  const { cluster: name, boundKey } = token.spec;
  const [cluster, identity] = await Promise.all([
    store.get(Cluster, clusterKey(name)),
    store.get(AgentIdentity, clusterKey(name)),
  ]);
  if (boundKey !== undefined && boundKey !== request.signingKey) {
    throw denied(
      'FL_JOIN_USED',
      `the join token of ${name} was used by another key; make a new one with fairlead enroll ${name}`,
    );
  }
  if (cluster === undefined) throw denied('FL_JOIN_CLUSTER', `cluster ${name} was deleted since its join token was made`);
  const isRepeat = boundKey !== undefined && identity?.spec.signingKey === request.signingKey && identity.spec.detached !== true;
  if (isRepeat && identity.spec.kubeSystemUid === request.kubeSystemUid) return responseOf(context, name, identity.spec.receipt);
  // Used up: an agent that was detached or replaced since needs a new one, even by the same key.
  if (boundKey !== undefined) {
    throw denied('FL_JOIN_USED', `the join token of ${name} was used before; make a new one with fairlead enroll ${name}`);
  }
  if (Date.parse(token.spec.expiresAt) <= clock.now()) {
    throw denied(
      'FL_JOIN_EXPIRED',
      `the join token of ${name} expired at ${token.spec.expiresAt}; make a new one with fairlead enroll ${name}`,
    );
  }
  await checkKubeSystem(context, cluster, request.kubeSystemUid);

  const joining: Joining = {
    cluster: name,
    signingKey: request.signingKey,
    sealingKey: request.sealingKey,
    kubeSystemUid: request.kubeSystemUid,
    joinedAt: rfc3339(clock.now()),
  };
  const receipt = signReceipt(context, joining);
  const apis = await apisOf(context, cluster, request);
  const result = await store.commit({
    expect: [
      { kind: JoinToken, key: clusterKey(request.tokenId), revision: revisionOf(token) },
      { kind: Cluster, key: clusterKey(name), revision: revisionOf(cluster) },
      { kind: AgentIdentity, key: clusterKey(name), revision: identity === undefined ? 'absent' : revisionOf(identity) },
      ...(apis?.expect ?? []),
    ],
    write: [
      { op: 'put', kind: JoinToken, object: { ...token, spec: { ...token.spec, boundKey: request.signingKey } } },
      { op: 'put', kind: AgentIdentity, object: identityObject(context, joining, receipt, identity) },
      { op: 'put', kind: Cluster, object: joined(cluster, joining, request, apis) },
      { op: 'put', kind: Event, object: told(context, cluster, 'FL_AGENT_JOINED', request.signingKey) },
      ...(apis?.write ?? []),
    ],
    audit: {
      actor: `agent/${name}`,
      verb: 'join',
      object: `Cluster//${name}`,
      at: new Date(clock.now()).toISOString(),
      details: { keyId: keyIdOf(request.signingKey), token: request.tokenId, by: token.spec.createdBy },
    },
  });
  return result.ok ? responseOf(context, name, receipt) : undefined;
}

/**
 * Takes back an agent that this plane does not know, by the receipt that the plane itself signed before it was restored
 * from an older copy. The Cluster comes back with the labels of the proven desired state. A tombstone stays one.
 * The caller has checked that the request is signed by the key that the receipt names.
 * Errors: FL_AGENT_DETACHED, FL_AGENT_REPLACED, FL_JOIN_OTHER_CLUSTER, FL_JOIN_TWICE, FL_AGENT_CAPABILITY.
 */
export async function takeBack(
  context: AgentsContext,
  receipt: Receipt,
  request: ReturnRequest,
  proven: DesiredState | undefined,
): Promise<JoinResponse> {
  checkAgent(request.capability, receipt);
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const done = await tryTakeBack(context, receipt, request, proven);
    if (done !== undefined) return done;
  }
  throw new FairleadError('FL_JOIN_BUSY', 'the cluster changed again and again while its agent came back; try again', {
    kind: 'unavailable',
    retryAfterMs: 1000,
  });
}

async function tryTakeBack(
  context: AgentsContext,
  receipt: Receipt,
  request: ReturnRequest,
  proven: DesiredState | undefined,
): Promise<JoinResponse | undefined> {
  const { store, clock, newUid } = context;
  const name = receipt.cluster;
  // In this order, or another request of the same agent that brings both back meanwhile would look like a deleted Cluster.
  const identity = await store.get(AgentIdentity, clusterKey(name));
  const cluster = await store.get(Cluster, clusterKey(name));
  if (identity !== undefined) {
    if (identity.spec.detached === true || cluster === undefined) throw detached(name);
    if (identity.spec.signingKey !== receipt.signingKey) throw replaced(name);
    return responseOf(context, name, identity.spec.receipt);
  }
  if (cluster !== undefined) await checkKubeSystem(context, cluster, receipt.kubeSystemUid);
  const now = rfc3339(clock.now());
  const base: Cluster = cluster ?? {
    apiVersion: API_VERSION,
    kind: Cluster.kind,
    metadata: {
      name,
      uid: newUid(),
      generation: 1,
      creationTimestamp: now,
      ...(proven === undefined ? {} : { labels: proven.labels }),
    },
    spec: {},
  };
  const apis = await apisOf(context, base, request);
  const transaction: Transaction = {
    expect: [
      { kind: Cluster, key: clusterKey(name), revision: cluster === undefined ? 'absent' : revisionOf(cluster) },
      { kind: AgentIdentity, key: clusterKey(name), revision: 'absent' },
      ...(apis?.expect ?? []),
    ],
    write: [
      { op: 'put', kind: AgentIdentity, object: identityObject(context, receipt, request.receipt, undefined) },
      { op: 'put', kind: Cluster, object: joined(base, receipt, request, apis) },
      { op: 'put', kind: Event, object: told(context, base, 'FL_AGENT_RETURNED', receipt.signingKey) },
      ...(apis?.write ?? []),
    ],
    audit: {
      actor: `agent/${name}`,
      verb: 'return',
      object: `Cluster//${name}`,
      at: new Date(clock.now()).toISOString(),
      details: { keyId: keyIdOf(receipt.signingKey), recreated: cluster === undefined },
    },
  };
  const result = await store.commit(transaction);
  return result.ok ? responseOf(context, name, request.receipt) : undefined;
}

/** The receipt in an envelope that this plane signed. Errors: FL_SIGNATURE, FL_AGENT_REQUEST, FL_AGENT_TOKEN. */
export function openReceipt(context: AgentsContext, envelope: Envelope): Receipt {
  const receipt = validate.receipt.parse(open(envelope, payloadTypes.receipt, context.keys.verifyKeys));
  if (receipt.planeId !== context.keys.planeId) throw denied(agentRefusals.token, 'the receipt is of another plane');
  return receipt;
}

export function detached(cluster: string): FairleadError {
  return denied(
    agentRefusals.detached,
    `cluster ${cluster} was deleted on the plane and its agent is detached; what runs stays. To manage it again, create the Cluster and enroll it anew`,
  );
}

export function replaced(cluster: string): FairleadError {
  return denied(
    agentRefusals.replaced,
    `another key has joined for cluster ${cluster}; stop this agent, or enroll it anew with fairlead enroll ${cluster}`,
  );
}

export function checkCapability(capability: number): void {
  if (capability >= OLDEST_CAPABILITY) return;
  throw new FairleadError(
    agentRefusals.old,
    `this agent speaks version ${capability} of the protocol, the plane ${OLDEST_CAPABILITY} to ${CAPABILITY}; upgrade the agent`,
    { kind: 'invalid' },
  );
}

function checkAgent(
  capability: number,
  { signingKey, sealingKey, kubeSystemUid }: Pick<JoinRequest, 'signingKey' | 'sealingKey' | 'kubeSystemUid'>,
): void {
  checkCapability(capability);
  const raw = Buffer.from(signingKey, 'base64url');
  const fault =
    raw.length !== 32 || raw.toString('base64url') !== signingKey
      ? 'signingKey is not a raw Ed25519 public key in base64url'
      : !isAgeRecipient(sealingKey)
        ? 'sealingKey is not an age recipient'
        : kubeSystemUid === ''
          ? 'kubeSystemUid is empty'
          : undefined;
  if (fault !== undefined) throw new FairleadError('FL_JOIN_KEY', `the agent cannot join: ${fault}`, { kind: 'invalid' });
}

/** Checked whole, with its checksum: a key that nothing can be sealed to would hold up every cluster of an Application. */
function isAgeRecipient(text: string): boolean {
  if (!/^age1[02-9ac-hj-np-z]{58}$/.test(text)) return false;
  try {
    new Encrypter().addRecipient(text);
    return true;
  } catch {
    return false;
  }
}

/** A Cluster stays bound to its kube-system UID; and one physical cluster joins under one name. */
async function checkKubeSystem({ store }: AgentsContext, cluster: Cluster, uid: string): Promise<void> {
  const { name } = cluster.metadata;
  const bound = cluster.status?.kubeSystemUid;
  if (bound !== undefined && bound !== uid) {
    throw denied(
      'FL_JOIN_OTHER_CLUSTER',
      `${name} is bound to the cluster whose kube-system namespace has uid ${bound}, and this one has ${uid}; correct the agent's kubeconfig, or delete and create the Cluster`,
    );
  }
  const same = await store.list(AgentIdentity, { fields: [{ path: 'spec.kubeSystemUid', operator: '=', value: uid }] });
  const other = same.items.find((one) => one.metadata.name !== name && one.spec.detached !== true);
  if (other !== undefined) {
    throw denied(
      'FL_JOIN_TWICE',
      `the cluster whose kube-system namespace has uid ${uid} joined as ${other.metadata.name} already; delete that Cluster first`,
    );
  }
}

function signReceipt({ keys }: AgentsContext, { cluster, signingKey, sealingKey, kubeSystemUid, joinedAt }: Joining): Envelope {
  const receipt: Receipt = { planeId: keys.planeId, cluster, signingKey, sealingKey, kubeSystemUid, joinedAt };
  return seal(payloadTypes.receipt, Buffer.from(JSON.stringify(receipt)), [keys.signer]);
}

function identityObject(
  { newUid, clock }: AgentsContext,
  { cluster, signingKey, sealingKey, kubeSystemUid, joinedAt }: Joining,
  receipt: Envelope,
  former: AgentIdentity | undefined,
): AgentIdentity {
  return {
    apiVersion: API_VERSION,
    kind: AgentIdentity.kind,
    metadata: former?.metadata ?? { name: cluster, uid: newUid(), generation: 1, creationTimestamp: rfc3339(clock.now()) },
    spec: { signingKey, keyId: keyIdOf(signingKey), sealingKey, kubeSystemUid, joinedAt, receipt },
  };
}

function joined(
  cluster: Cluster,
  { signingKey, kubeSystemUid, joinedAt }: Joining,
  { version, capability, facts }: Pick<JoinRequest, 'version' | 'capability' | 'facts'>,
  taken: TakenApis | undefined,
): Cluster {
  return {
    ...cluster,
    status: {
      ...cluster.status,
      kubeSystemUid,
      facts,
      agent: { version, capability, joinedAt, keyId: keyIdOf(signingKey) },
      ...(taken === undefined ? {} : { apis: taken.apis }),
    },
  };
}

/** With the join, so that the first render for a cluster already knows what it serves. */
async function apisOf(
  context: AgentsContext,
  { status }: Cluster,
  { apis }: Pick<JoinRequest, 'apis'>,
): Promise<TakenApis | undefined> {
  if (apis === undefined) return undefined;
  checkApis(apis);
  return takeApis(context, status?.apis, apis);
}

function told(
  { clock, newUid }: AgentsContext,
  cluster: Cluster,
  code: 'FL_AGENT_JOINED' | 'FL_AGENT_RETURNED',
  signingKey: string,
): Event {
  const args = { cluster: cluster.metadata.name, keyId: keyIdOf(signingKey) };
  return clusterEvent(cluster, { code, args }, 'Normal', clock.now(), newUid);
}

function responseOf({ keys }: AgentsContext, cluster: string, receipt: Envelope): JoinResponse {
  return { cluster, receipt, keySet: keys.keySetEnvelope, capability: CAPABILITY };
}

/** What is kept of a token's secret. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('base64url');
}

function isEqualHash(a: string, b: string): boolean {
  const left = Buffer.from(a, 'base64url');
  const right = Buffer.from(b, 'base64url');
  return left.length === right.length && timingSafeEqual(left, right);
}
