import { Type, type Static } from 'typebox';
import { sha256 } from '#base';
import { Envelope } from './envelope.ts';
import { DeliverySettings } from './kinds/application.ts';
import { DesiredPosition } from './kinds/cluster.ts';

/**
 * The protocol between agent and plane (`/agent/v1`). One integer says what a side understands; both sides work with the
 * last two numbers before their own.
 *
 *  1 (2026-11): join, return, sync with held head, bundles and objects by digest, reports with two lanes.
 *  2 (2026-11): join, return and reports say which APIs the cluster serves: a digest, and the list when the plane needs it.
 *  3 (2026-11): looks: a sync may be answered with a signed order to show live objects; the agent posts what it saw.
 */
export const CAPABILITY = 3;

/** -1, 0, 1: the order of two positions; equal numbers with different digests are a fork, not an order. */
export function comparePositions(
  a: Pick<DesiredPosition, 'epoch' | 'seq'>,
  b: Pick<DesiredPosition, 'epoch' | 'seq'>,
): -1 | 0 | 1 {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1;
  if (a.seq !== b.seq) return a.seq < b.seq ? -1 : 1;
  return 0;
}

/** Numbers that agents send: never negative, never beyond what JSON carries exactly. */
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const name = Type.String({ minLength: 1, maxLength: 253 });
const digest = Type.String({ maxLength: 80 });
const instant = Type.String({ maxLength: 40 });

/** Apply order of objects; see architecture.md, section 5. */
export const stages = ['crds', 'namespaces', 'config', 'workloads', 'rest', 'webhooks'] as const;
export type Stage = (typeof stages)[number];

export const ObjectIdentity = Type.Object({
  group: Type.String({ maxLength: 253 }),
  version: Type.String({ maxLength: 63 }),
  kind: Type.String({ maxLength: 63 }),
  /** '' for cluster-scoped objects, and for objects of a kind whose scope only the cluster knows. */
  namespace: Type.String({ maxLength: 253 }),
  name: Type.String({ maxLength: 253 }),
});
export type ObjectIdentity = Static<typeof ObjectIdentity>;

export const BundleEntry = Type.Object({
  id: ObjectIdentity,
  /** sha256 of the exact bytes to fetch: canonical JSON, or the sealed form of it. */
  digest: Type.String(),
  size: Type.Integer(),
  stage: Type.Enum([...stages]),
  wave: Type.Integer(),
  scope: Type.Enum(['Namespaced', 'Cluster', 'unknown']),
  /** Present when the bytes are sealed (age) to this cluster: HMAC of the clear bytes under the cluster's equality key. */
  sealed: Type.Optional(Type.String()),
  /** Where it was written, for messages. */
  source: Type.Optional(Type.Object({ file: Type.String(), line: Type.Integer() })),
  /** Annotated `helm.sh/resource-policy: keep`: applied like any other, never pruned or deleted. */
  keep: Type.Optional(Type.Boolean()),
  /** Made where it is missing and then left alone: CRDs of a chart's crds/ under `crds: Create`. */
  createOnly: Type.Optional(Type.Boolean()),
});
export type BundleEntry = Static<typeof BundleEntry>;

/** When a hook runs. `pre-delete` and `post-delete` run when the Application is removed from the cluster. */
export const hookEvents = ['pre-install', 'post-install', 'pre-upgrade', 'post-upgrade', 'pre-delete', 'post-delete'] as const;
export type HookEvent = (typeof hookEvents)[number];

export const hookDeletePolicies = ['before-hook-creation', 'hook-succeeded', 'hook-failed'] as const;
export type HookDeletePolicy = (typeof hookDeletePolicies)[number];

/** An object that runs once per (release, event) instead of being held. Its bytes are served, issued and sealed like any object's. */
export const HookEntry = Type.Object({
  ...BundleEntry.properties,
  events: Type.Array(Type.Enum([...hookEvents])),
  /** Lower ones run first; equal ones by kind, then name. */
  weight: Type.Integer(),
  deletePolicies: Type.Array(Type.Enum([...hookDeletePolicies])),
  /** How long it may take to complete before it counts as failed. */
  timeoutSeconds: Type.Integer(),
});
export type HookEntry = Static<typeof HookEntry>;

/** The canonical, ordered content of one application for one cluster. Its digest is the sha256 of its exact JSON bytes. */
export const Bundle = Type.Object({
  version: Type.Literal(1),
  entries: Type.Array(BundleEntry),
  /** In the order of weight, kind, name. Absent: none. */
  hooks: Type.Optional(Type.Array(HookEntry)),
});
export type Bundle = Static<typeof Bundle>;

export const DesiredApplication = Type.Object({
  project: Type.String(),
  name: Type.String(),
  uid: Type.String(),
  release: Type.String(),
  number: Type.Integer(),
  commit: Type.String(),
  bundle: Type.String(),
  settings: DeliverySettings,
  limits: Type.Object({
    namespaces: Type.Array(Type.String()),
    clusterKinds: Type.Array(Type.Object({ group: Type.String(), kind: Type.String() })),
    deniedKinds: Type.Array(Type.Object({ group: Type.String(), kind: Type.String() })),
    maxDeletions: Type.Integer(),
    maxDeletionPercent: Type.Integer(),
  }),
  /** `namespace/name` to impersonate, or absent for the agent's own identity (only where the Project allows it). */
  serviceAccount: Type.Optional(Type.String()),
  /** Lifts the deletion budget for exactly this bundle. */
  waiver: Type.Optional(Type.Object({ bundle: Type.String(), actor: Type.String() })),
  /** Raised by `fairlead reconcile`: the agent compares everything anew when it changes. */
  nudge: Type.Optional(Type.String()),
});
export type DesiredApplication = Static<typeof DesiredApplication>;

/** Absence is never an instruction; this is. Kept until the agent acknowledges `id`. */
export const RetireEntry = Type.Object({
  id: Type.String(),
  project: Type.String(),
  application: Type.String(),
  uid: Type.String(),
  mode: Type.Enum(['Orphan', 'Delete']),
  reason: Type.Enum(['TargetExit', 'ApplicationDeleted']),
  actor: Type.String(),
  /** Objects the plane believes are there; the agent deletes no more than this. */
  maxObjects: Type.Integer(),
  maxDeletions: Type.Integer(),
  maxDeletionPercent: Type.Integer(),
  waived: Type.Boolean(),
  serviceAccount: Type.Optional(Type.String()),
});
export type RetireEntry = Static<typeof RetireEntry>;

/** The signed, numbered document that tells one agent everything it should hold. */
export const DesiredState = Type.Object({
  planeId: Type.String(),
  cluster: Type.String(),
  /** UID of kube-system: an agent pointed at another cluster writes nothing. */
  kubeSystemUid: Type.String(),
  epoch: Type.Integer(),
  seq: Type.Integer(),
  keySetVersion: Type.Integer(),
  /** Features an agent must understand; an unknown one means: refuse the document and report it. */
  crit: Type.Array(Type.String()),
  issuedAt: Type.String(),
  /** Labels of the cluster, so that a restored plane can learn them back. */
  labels: Type.Record(Type.String(), Type.String()),
  /** True during recovery: the agent prunes and deletes nothing. */
  deletionsPaused: Type.Boolean(),
  applications: Type.Array(DesiredApplication),
  retire: Type.Array(RetireEntry),
  /** Reserved: content may later need signatures that the plane does not hold. */
  approvals: Type.Array(Type.Unknown()),
});
export type DesiredState = Static<typeof DesiredState>;

/** `crit` features this version understands. */
export const knownCritical: readonly string[] = [];

/** "Nothing newer", signed, so that a frozen or replayed plane shows without trusting clocks. */
export const Head = Type.Object({
  planeId: Type.String(),
  cluster: Type.String(),
  position: DesiredPosition,
  nonce: Type.String(),
  /** Plane time, ms: the agent learns its clock offset from it. */
  time: Type.Integer(),
});
export type Head = Static<typeof Head>;

/** Kept by the agent: by it any restored plane knows it again. */
export const Receipt = Type.Object({
  planeId: Type.String(),
  cluster: Type.String(),
  signingKey: Type.String(),
  sealingKey: Type.String(),
  kubeSystemUid: Type.String(),
  joinedAt: Type.String(),
});
export type Receipt = Static<typeof Receipt>;

/** `apps/v1` and `apps/v1/Deployment`, as Helm lists them. */
const API_VERSION_TEXT = '^(?:[a-z0-9][-a-z0-9.]{0,252}/)?[a-z0-9][-a-z0-9]{0,62}(?:/[A-Za-z][-A-Za-z0-9]{0,62})?$';
const apiVersionText = Type.String({ maxLength: 400, pattern: API_VERSION_TEXT });

/** Entries, and characters of them all: a cluster with every kind of three cloud providers has 7,000, of 400 KB. */
export const MAX_APIS = 16_000;
export const MAX_API_CHARACTERS = 768 * 1024;

/** What a cluster serves: `.Capabilities.APIVersions` of the charts rendered for it. */
export const ServedApis = Type.Object({
  /** `apisDigest` of the list. */
  digest,
  /** Group versions whose own server did not answer: the plane keeps what it knew of them. */
  unavailable: Type.Array(apiVersionText, { maxItems: 500 }),
  /** Sorted, each once. Left out where the plane may hold it; it asks (`needsApis`) when it does not. */
  list: Type.Optional(Type.Array(apiVersionText, { maxItems: MAX_APIS })),
});
export type ServedApis = Static<typeof ServedApis>;

/** Whether it can be an entry of the list. */
export function isApiVersion(text: string): boolean {
  return text.length <= 400 && apiVersionForm.test(text);
}
const apiVersionForm = new RegExp(API_VERSION_TEXT);

/** Whether a list is short enough to be reported and held: entries, and characters with their separators. */
export function isBoundedList(list: readonly string[]): boolean {
  return list.length <= MAX_APIS && list.reduce((sum, one) => sum + one.length + 1, 0) <= MAX_API_CHARACTERS;
}

/** Of a sorted list. */
export function apisDigest(list: readonly string[]): string {
  return sha256(list.join('\n'));
}

/**
 * What is served, when some group versions cannot say: of those, everything that was known stays. Sorted, each once. Pure.
 */
export function withUnavailable(
  listed: readonly string[],
  former: readonly string[],
  unavailable: readonly string[],
): readonly string[] {
  const silent = new Set(unavailable);
  const kept = former.filter((one) => silent.has(one) || silent.has(one.slice(0, Math.max(0, one.lastIndexOf('/')))));
  return [...new Set([...listed, ...kept])].sort();
}

const Facts = Type.Record(Type.String({ maxLength: 63 }), Type.String({ maxLength: 256 }), { maxProperties: 64 });

/** `GET /agent/v1/keys`, no authentication: lets an agent check the plane before it shows its token. */
export const KeysResponse = Type.Object({ keySet: Envelope });
export type KeysResponse = Static<typeof KeysResponse>;

/** `POST /agent/v1/join`. The token is `fl1.<id>.<secret>.<root hash>`; only id and secret are sent. */
export const JoinRequest = Type.Object({
  tokenId: Type.String({ maxLength: 100 }),
  secret: Type.String({ maxLength: 200 }),
  /** Raw Ed25519 public key, base64url. */
  signingKey: Type.String({ maxLength: 64 }),
  /** age recipient (age1…). */
  sealingKey: Type.String({ maxLength: 100 }),
  kubeSystemUid: Type.String({ maxLength: 64 }),
  capability: count,
  version: Type.String({ maxLength: 64 }),
  facts: Facts,
  apis: Type.Optional(ServedApis),
});
export type JoinRequest = Static<typeof JoinRequest>;

export const JoinResponse = Type.Object({
  cluster: Type.String(),
  receipt: Envelope,
  keySet: Envelope,
  capability: Type.Integer(),
});
export type JoinResponse = Static<typeof JoinResponse>;

/** `POST /agent/v1/return`, answered like `join`; the request token is signed by the key that the receipt names. An agent the plane does not know (restored from an older copy) shows its receipt and what it holds. */
export const ReturnRequest = Type.Object({
  receipt: Envelope,
  desired: Type.Optional(Envelope),
  capability: count,
  version: Type.String({ maxLength: 64 }),
  facts: Facts,
  apis: Type.Optional(ServedApis),
});
export type ReturnRequest = Static<typeof ReturnRequest>;

/** `POST /agent/v1/sync`. */
export const SyncRequest = Type.Object({
  held: Type.Optional(DesiredPosition),
  nonce: Type.String({ maxLength: 64 }),
  /** How long the plane may hold the request when there is nothing newer, ms; 0 answers at once. */
  waitMs: Type.Integer({ minimum: 0, maximum: 290_000 }),
  keySetVersion: count,
  capability: count,
  version: Type.String({ maxLength: 64 }),
  /** Random per start of the agent process. */
  boot: Type.String({ minLength: 1, maxLength: 64 }),
  /** Sent at start and when they change. */
  facts: Type.Optional(Facts),
  /** The held envelope itself, when the plane asked for it (`need: held`). */
  proof: Type.Optional(Envelope),
});
export type SyncRequest = Static<typeof SyncRequest>;

export const SyncResponse = Type.Object({
  /** Something newer than what is held. */
  desired: Type.Optional(Envelope),
  /** Nothing newer, echoing the nonce. */
  head: Type.Optional(Envelope),
  /** A newer key set than the agent named. */
  keySet: Type.Optional(Envelope),
  /** The plane finds the agent ahead of it, or different at the same number: send `proof` with the next sync. */
  need: Type.Optional(Type.Literal('held')),
  /** The plane lost or never saw the full state lane: send every delivery in the next report. */
  resync: Type.Optional(Type.Boolean()),
  /** Live objects to show: a signed `LookOrder` for the nonce of this sync. Only to agents of capability 3. */
  looks: Type.Optional(Envelope),
  /** How long to wait before the next sync, ms; absent: at once. */
  retryAfterMs: Type.Optional(Type.Integer()),
});
export type SyncResponse = Static<typeof SyncResponse>;

/** `POST /agent/v1/objects`: answered as a stream of frames `<digest> <size>\n<bytes>`, in the order asked. */
export const ObjectsRequest = Type.Object({ digests: Type.Array(Type.String({ maxLength: 80 }), { maxItems: 5000 }) });
export type ObjectsRequest = Static<typeof ObjectsRequest>;

/** A reason as an agent sends it: a code with arguments, and at most 1 KiB of the API server's redacted words among them. */
export const WireReason = Type.Object({
  code: Type.String({ maxLength: 64 }),
  args: Type.Record(Type.String(), Type.Unknown()),
  since: instant,
});
export type WireReason = Static<typeof WireReason>;

export const agentPhases = [
  'fetching',
  'planning',
  'applying',
  'pruning',
  'settling',
  'steady',
  'blocked',
  'retiring',
  'absent',
] as const;
export type AgentPhase = (typeof agentPhases)[number];

/** State of one object that is not simply "as wanted and healthy"; bounded to the first 50 per delivery. */
export const ObjectReport = Type.Object({
  id: ObjectIdentity,
  state: Type.Enum(['failed', 'unhealthy', 'drifted', 'waiting', 'deleting']),
  reason: WireReason,
});
export type ObjectReport = Static<typeof ObjectReport>;

export const DeliveryReport = Type.Object({
  project: name,
  application: name,
  /** What every word of this report is about. */
  release: name,
  number: count,
  bundle: digest,
  phase: Type.Enum([...agentPhases]),
  /** The (release, bundle) held completely; survives while a newer one is being applied. */
  applied: Type.Optional(Type.Object({ release: name, bundle: digest, at: instant })),
  /** `healthy` counts only for the (release, bundle) named above. */
  health: Type.Enum(['healthy', 'progressing', 'degraded', 'unknown']),
  objects: Type.Object({ total: count, applied: count, healthy: count, failed: count, drifted: count }),
  problems: Type.Array(ObjectReport, { maxItems: 50 }),
  reason: Type.Optional(WireReason),
  /** By the plane's clock as the agent knows it. */
  times: Type.Object({
    fetchedAt: Type.Optional(instant),
    appliedAt: Type.Optional(instant),
    healthyAt: Type.Optional(instant),
  }),
});
export type DeliveryReport = Static<typeof DeliveryReport>;

export const AgentEvent = Type.Object({
  /** Unique per agent: what makes a repeated delivery harmless. */
  id: Type.String({ minLength: 1, maxLength: 100 }),
  at: instant,
  project: name,
  application: name,
  type: Type.Enum(['Normal', 'Warning']),
  /** Code of the reasons catalogue, with its arguments. */
  reason: WireReason,
  object: Type.Optional(ObjectIdentity),
});
export type AgentEvent = Static<typeof AgentEvent>;

/** `POST /agent/v1/reports`. */
export const ReportRequest = Type.Object({
  boot: Type.String({ minLength: 1, maxLength: 64 }),
  /** Grows by one per report of this boot; a lower one is stale and ignored. */
  number: count,
  /** (epoch, seq, digest) the agent held when it wrote this. */
  held: Type.Optional(DesiredPosition),
  /** State lane: latest wins per delivery. `full` means that deliveries not named here are not there. */
  full: Type.Boolean(),
  deliveries: Type.Array(DeliveryReport, { maxItems: 2000 }),
  /** `stateDigestOf` all current delivery reports: lets the plane see that it missed one. */
  stateDigest: digest,
  /** Acknowledged retirements. */
  retired: Type.Array(
    Type.Object({ id: Type.String({ maxLength: 100 }), result: Type.Enum(['orphaned', 'deleted']), objects: count }),
    { maxItems: 2000 },
  ),
  /** Applications found in the inventory that no document names and none retires: kept. */
  orphaned: Type.Array(Type.Object({ project: name, application: name, objects: count }), { maxItems: 500 }),
  events: Type.Array(AgentEvent, { maxItems: 500 }),
  /** Events dropped for want of room since the last report. */
  gap: count,
  /** About the agent itself: refused documents, a second process with its identity, the wrong cluster. */
  agent: Type.Array(WireReason, { maxItems: 20 }),
  /** In full reports, and until the plane has taken it. */
  apis: Type.Optional(ServedApis),
});
export type ReportRequest = Static<typeof ReportRequest>;

/** Digest of one delivery report: over its JSON text as sent, so an agent keeps the order of its keys. */
export function reportDigest(report: DeliveryReport): string {
  return sha256(JSON.stringify(report));
}

/** Digest of the whole state lane, from `project/application` → `reportDigest`: sha256 of its sorted `<key> <digest>\n` lines. */
export function stateDigestOf(digests: ReadonlyMap<string, string>): string {
  const lines = [...digests].map(([key, digest]) => `${key} ${digest}\n`);
  return sha256(lines.sort().join(''));
}

/** `resync`: the plane does not hold what the agent thinks it does; the next report must be `full`. */
export const ReportResponse = Type.Object({
  resync: Type.Boolean(),
  retryAfterMs: Type.Optional(Type.Integer()),
  /** The plane does not hold the list of APIs whose digest it was told: send it with the next report. */
  needsApis: Type.Optional(Type.Boolean()),
});
export type ReportResponse = Static<typeof ReportResponse>;

/** RFC 9457 problem, the body of every error of /agent/v1, /views/v1, /hooks and /live. */
export const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String(),
  detail: Type.Optional(Type.String()),
  retryAfterMs: Type.Optional(Type.Integer()),
  /** Plane time, ms; in errors about the time of a request token, so that an agent learns its clock offset. */
  time: Type.Optional(Type.Integer()),
});
export type Problem = Static<typeof Problem>;

/**
 * Codes of `Problem` by which an agent knows what to do about being refused.
 *
 *  unknown   401  the plane does not know this identity: show the receipt (`return`)
 *  clock     401  the token's time is off by more than a minute: correct the offset by `Problem.time`, try again
 *  token     401  malformed, wrong signature, other body or path, another plane
 *  replay    401  this token was used before: make a new one
 *  replaced  403  another key has joined for this cluster since: only a new join token helps
 *  detached  403  a person deleted the Cluster: keep what runs, ask again seldom
 *  old       400  this agent's capability is older than the plane still understands: upgrade it
 *  busy      429  over budget: wait `retryAfterMs`
 */
export const agentRefusals = {
  unknown: 'FL_AGENT_UNKNOWN',
  clock: 'FL_AGENT_CLOCK',
  token: 'FL_AGENT_TOKEN',
  replay: 'FL_AGENT_REPLAY',
  replaced: 'FL_AGENT_REPLACED',
  detached: 'FL_AGENT_DETACHED',
  old: 'FL_AGENT_CAPABILITY',
  busy: 'FL_AGENT_BUSY',
} as const;

/** Claims of the request token (compact JWS, EdDSA, header {alg, kid}) in `Authorization: Fairlead <jws>`. */
export interface RequestClaims {
  /** Plane id. */
  readonly aud: string;
  /** Cluster name. */
  readonly sub: string;
  readonly method: string;
  /** Path and query exactly as requested. */
  readonly path: string;
  /** sha256 of the body, `sha256:<hex>` (of zero bytes for none). */
  readonly body: string;
  /** Seconds since the epoch, by the plane's clock as the agent knows it; 60 s of difference are accepted. */
  readonly iat: number;
  readonly jti: string;
}
