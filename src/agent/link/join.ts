import {
  CAPABILITY,
  open,
  openKeySet,
  payloadTypes,
  signingKeys,
  type Envelope,
  type JoinResponse,
  type KeysResponse,
  type KeySet,
  type Receipt,
  type ServedApis,
} from '#api';
import { FairleadError } from '#base';
import type { Membership } from '../state/agent-store.ts';
import type { AgentKeys } from './identity.ts';
import type { ParsedJoinToken } from './join-token.ts';
import type { Credentials, PlaneClient } from './plane-client.ts';

const MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS = 30_000;

export interface JoinOptions {
  readonly plane: PlaneClient;
  readonly planeUrl: string;
  readonly token: ParsedJoinToken;
  readonly keys: AgentKeys;
  readonly kubeSystemUid: string;
  readonly version: string;
  readonly facts: Readonly<Record<string, string>>;
  /** Undefined: not known yet. */
  readonly apis: ServedApis | undefined;
  readonly signal: AbortSignal;
}

/**
 * Joins the plane that the token names: its key set is checked against the token before anything is shown to it, and the
 * token goes only over TLS that the key set vouches for. Idempotent for the same keys. Errors: `FL_KEYSET_ROOT`, those of
 * the plane, `FL_JOIN_RECEIPT`.
 */
export async function joinPlane(options: JoinOptions): Promise<Membership> {
  const { plane, token, keys } = options;
  const first = await plane.callUntrusted({
    method: 'GET',
    path: '/agent/v1/keys',
    timeoutMs: TIMEOUT_MS,
    maxResponseBytes: MAX_BYTES,
    signal: options.signal,
  });
  const offered = JSON.parse(first.toString('utf8')) as KeysResponse; // the envelope is verified next
  const keySet = openKeySet(offered.keySet, token.rootHash);
  plane.trust(keySet.tlsAuthorities);
  const answer = await plane.call({
    method: 'POST',
    path: '/agent/v1/join',
    body: {
      tokenId: token.id,
      secret: token.secret.reveal(),
      signingKey: keys.signer.publicKey,
      sealingKey: keys.sealingKey,
      kubeSystemUid: options.kubeSystemUid,
      capability: CAPABILITY,
      version: options.version,
      facts: options.facts,
      ...(options.apis === undefined ? {} : { apis: options.apis }),
    },
    timeoutMs: TIMEOUT_MS,
    maxResponseBytes: MAX_BYTES,
    signal: options.signal,
  });
  const joined = JSON.parse(answer.toString('utf8')) as JoinResponse; // its envelopes are verified next
  const current = openKeySet(joined.keySet, token.rootHash, keySet.version);
  checkReceipt(joined, current, options);
  plane.trust(current.tlsAuthorities);
  return {
    planeUrl: options.planeUrl,
    rootHash: token.rootHash,
    cluster: joined.cluster,
    kubeSystemUid: options.kubeSystemUid,
    receipt: joined.receipt,
    keySet: joined.keySet,
  };
}

function checkReceipt(joined: JoinResponse, keySet: KeySet, options: JoinOptions): void {
  const receipt = JSON.parse(open(joined.receipt, payloadTypes.receipt, signingKeys(keySet)).toString('utf8')) as Receipt; // signed
  const isOurs =
    receipt.planeId === keySet.planeId &&
    receipt.cluster === joined.cluster &&
    receipt.signingKey === options.keys.signer.publicKey &&
    receipt.sealingKey === options.keys.sealingKey &&
    receipt.kubeSystemUid === options.kubeSystemUid;
  if (isOurs) return;
  throw new FairleadError('FL_JOIN_RECEIPT', 'the plane signed a receipt for another agent; ask for a new join token', {
    kind: 'denied',
  });
}

/** Shows a plane that does not know this agent its own receipt and the newest document it signed. */
export async function returnToPlane(
  options: {
    readonly plane: PlaneClient;
    readonly credentials: Credentials;
    readonly receipt: Envelope;
    readonly desired: Envelope | undefined;
    readonly version: string;
    readonly facts: Readonly<Record<string, string>>;
    readonly apis: ServedApis | undefined;
  },
  signal: AbortSignal,
): Promise<Partial<JoinResponse>> {
  const answer = await options.plane.call({
    method: 'POST',
    path: '/agent/v1/return',
    body: {
      receipt: options.receipt,
      ...(options.desired === undefined ? {} : { desired: options.desired }),
      capability: CAPABILITY,
      version: options.version,
      facts: options.facts,
      ...(options.apis === undefined ? {} : { apis: options.apis }),
    },
    credentials: options.credentials,
    timeoutMs: TIMEOUT_MS,
    maxResponseBytes: MAX_BYTES,
    signal,
  });
  return JSON.parse(answer.toString('utf8')) as Partial<JoinResponse>; // what counts in it is signed
}
