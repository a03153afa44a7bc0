import {
  comparePositions,
  knownCritical,
  lookLimits,
  open,
  openKeySet,
  payloadTypes,
  reason,
  signingKeys,
  type DesiredPosition,
  type DesiredState,
  type Envelope,
  type Head,
  type KeySet,
  type LookOrder,
  type LookRequest,
  type Reason,
} from '#api';
import { messageOf, sha256 } from '#base';

/** What a document is checked against. */
export interface Trust {
  readonly planeId: string;
  readonly cluster: string;
  /** As bound at the time of joining. */
  readonly kubeSystemUid: string;
  readonly keySet: KeySet;
  /** Nothing at or below is accepted. */
  readonly floor: DesiredPosition | undefined;
  /** RFC 3339. */
  readonly now: string;
}

export type Verdict =
  | { readonly kind: 'newer'; readonly document: DesiredState; readonly position: DesiredPosition }
  /** The very document that is held. */
  | { readonly kind: 'held' }
  | { readonly kind: 'refused'; readonly reason: Reason };

/** Whether a desired state may be held. Pure; nothing of it is parsed before its signature is verified. */
export function verifyDesired(envelope: Envelope, trust: Trust): Verdict {
  const refuse = (...args: Parameters<typeof reason> extends [infer C, infer A, string] ? [C, A] : never): Verdict => ({
    kind: 'refused',
    reason: reason(args[0], args[1], trust.now),
  });
  let document: DesiredState;
  let digest: string;
  try {
    const payload = open(envelope, payloadTypes.desired, signingKeys(trust.keySet));
    digest = sha256(payload);
    document = JSON.parse(payload.toString('utf8')) as DesiredState; // its shape is checked below
    checkShape(document);
  } catch (error) {
    return refuse('FL_DOCUMENT_SIGNATURE', { cluster: trust.cluster, words: messageOf(error) });
  }
  if (document.planeId !== trust.planeId) {
    return refuse('FL_DOCUMENT_FOREIGN', { cluster: trust.cluster, found: `plane ${document.planeId}` });
  }
  if (document.cluster !== trust.cluster) {
    return refuse('FL_DOCUMENT_FOREIGN', { cluster: trust.cluster, found: `cluster ${document.cluster}` });
  }
  if (document.kubeSystemUid !== trust.kubeSystemUid) {
    return refuse('FL_DOCUMENT_FOREIGN', { cluster: trust.cluster, found: `kube-system ${document.kubeSystemUid}` });
  }
  const unknown = document.crit.filter((feature) => !knownCritical.includes(feature));
  if (unknown.length > 0) return refuse('FL_DOCUMENT_CRITICAL', { cluster: trust.cluster, features: unknown });
  const position = { epoch: document.epoch, seq: document.seq, digest };
  if (trust.floor !== undefined) {
    const order = comparePositions(position, trust.floor);
    if (order === 0 && digest === trust.floor.digest) return { kind: 'held' };
    if (order <= 0) {
      const text = (p: DesiredPosition): string => `${p.epoch}, ${p.seq}${order === 0 ? `, ${p.digest.slice(0, 15)}` : ''}`;
      return refuse('FL_DOCUMENT_OLD', { cluster: trust.cluster, offered: text(position), held: text(trust.floor) });
    }
  }
  return { kind: 'newer', document, position };
}

/** The held document after a restart: signed by a plane key of then, so only its integrity and addressee are checked again. */
export function readHeld(envelope: Envelope): { readonly document: DesiredState; readonly position: DesiredPosition } {
  const payload = Buffer.from(envelope.payload, 'base64');
  const document = JSON.parse(payload.toString('utf8')) as DesiredState; // verified before it was stored
  checkShape(document);
  return { document, position: { epoch: document.epoch, seq: document.seq, digest: sha256(payload) } };
}

/** The plane's signed "nothing newer" for exactly this question. Throws `FL_SIGNATURE` and alike. */
export function verifyHead(envelope: Envelope, trust: Pick<Trust, 'planeId' | 'cluster' | 'keySet'>, nonce: string): Head {
  const payload = open(envelope, payloadTypes.head, signingKeys(trust.keySet));
  const head = JSON.parse(payload.toString('utf8')) as Head; // signed by the plane
  if (head.planeId !== trust.planeId || head.cluster !== trust.cluster) throw new Error('the head is not for this cluster');
  if (head.nonce !== nonce) throw new Error('the head answers another question: it may be replayed');
  if (typeof head.position?.epoch !== 'number' || typeof head.time !== 'number') throw new Error('the head is incomplete');
  return head;
}

/** What the plane asks to be shown, for exactly this question. Throws `FL_SIGNATURE` and alike. */
export function verifyLooks(
  envelope: Envelope,
  trust: Pick<Trust, 'planeId' | 'cluster' | 'keySet'>,
  nonce: string,
): readonly LookRequest[] {
  const payload = open(envelope, payloadTypes.looks, signingKeys(trust.keySet));
  const order = JSON.parse(payload.toString('utf8')) as LookOrder; // signed by the plane; its shape is checked below
  if (order.planeId !== trust.planeId || order.cluster !== trust.cluster) throw new Error('the looks are not for this cluster');
  if (order.nonce !== nonce) throw new Error('the looks answer another question: they may be replayed');
  const isText = (text: unknown): boolean => typeof text === 'string' && text.length <= 256;
  const isLook = ({ id, project, application, by, object }: LookRequest): boolean =>
    [id, project, application, by].every(isText) &&
    typeof object === 'object' &&
    [object?.group, object?.version, object?.kind, object?.namespace, object?.name].every(isText);
  if (!Array.isArray(order.looks) || order.looks.length > lookLimits.maxPerOrder || !order.looks.every(isLook))
    throw new Error('the looks are malformed');
  return order.looks;
}

/** The key set in `envelope`, of the plane we know, not older than the one we hold. */
export function verifyKeySet(envelope: Envelope, pinnedRootHash: string, held: KeySet): KeySet {
  const next = openKeySet(envelope, pinnedRootHash, held.version);
  if (next.planeId !== held.planeId) throw new Error('the key set names another plane');
  return next;
}

/** The plane may be newer than we are; what we read must still be what we take it for. */
function checkShape(document: DesiredState): void {
  const fail = (what: string): never => {
    throw new Error(`the document is malformed: ${what}`);
  };
  if (typeof document !== 'object' || document === null) fail('it is no object');
  const { epoch, seq, crit, applications, retire } = document;
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(seq) || epoch < 0 || seq < 0) fail('epoch and seq');
  if (!Array.isArray(crit) || !crit.every((feature) => typeof feature === 'string')) fail('crit');
  if (!Array.isArray(applications) || !Array.isArray(retire)) fail('applications and retire');
  if (typeof document.deletionsPaused !== 'boolean') fail('deletionsPaused');
  const seen = new Set<string>();
  for (const one of applications) {
    const texts = [one.project, one.name, one.uid, one.release, one.bundle];
    if (!texts.every((text) => typeof text === 'string') || !/^sha256:[0-9a-f]{64}$/.test(one.bundle)) fail('an application');
    if (typeof one.settings !== 'object' || typeof one.limits !== 'object' || one.limits === null)
      fail(`application ${one.name}`);
    const key = `${one.project}/${one.name}`;
    if (seen.has(key)) fail(`application ${key} is there twice`);
    seen.add(key);
  }
  for (const one of retire) {
    if (typeof one.id !== 'string' || typeof one.application !== 'string' || !['Orphan', 'Delete'].includes(one.mode))
      fail('a retire entry');
  }
}
