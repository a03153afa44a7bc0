import { lookLimits, type LookAnswer, type LookDifference, type LookRequest, type ObjectIdentity } from '#api';
import { FairleadError, messageOf, REDACTED, rfc3339 } from '#base';
import {
  boundedJson,
  capBytes,
  formatId,
  getObject,
  hasStatus,
  isHiddenKind,
  isSecretKind,
  keysOnly,
  KubeStatusError,
  ownedPointers,
  parseId,
  redactMessage,
  shortJson,
  shownObject,
  type KubeObject,
} from '#kube';
import { createAutoscalerLookup, mayBeAutoscaled, REPLICAS } from '../apply/autoscalers.ts';
import { actingAs, identityName, type ClusterPort } from '../apply/cluster-port.ts';
import { ignoreRulesFor } from '../apply/ignore-rules.ts';
import { FIELD_MANAGER } from '../apply/marks.ts';
import type { WantedObjects } from '../apply/wanted-objects.ts';
import type { AgentState, AppState, ObjectKey, PlannedObject } from '../core/model.ts';
import { compareFields, type Finding } from '../watch/inspect.ts';

export interface LookPort extends Pick<ClusterPort, 'client' | 'mapper' | 'clock' | 'log' | 'cluster'> {
  readonly wantedObjects: Pick<WantedObjects, 'prepare' | 'comparable' | 'veil'>;
}

const READ_TIMEOUT_MS = 4_000;

type Found = Omit<LookAnswer, 'id' | 'object' | 'seenAt'>;

/** What a person sees of one live object: read as whoever applies it, compared as drift is. Never throws, but for the signal. */
export async function lookAtObject(
  look: LookRequest,
  state: AgentState,
  port: LookPort,
  signal: AbortSignal,
): Promise<LookAnswer> {
  const found = await seen(look, state, port, signal);
  return { id: look.id, object: look.object, seenAt: rfc3339(port.clock.now()), ...found };
}

async function seen(look: LookRequest, state: AgentState, port: LookPort, signal: AbortSignal): Promise<Found> {
  const app = state.apps.get(`${look.project}/${look.application}`);
  const identity = app?.wanted ?? app?.retire;
  const target = app === undefined ? undefined : targetOf(app, look.object);
  if (app === undefined || identity === undefined || target === undefined) return { is: 'refused', refusal: 'unknown' };
  const { serviceAccount } = identity;
  const id = parseId(target.key);
  let live: KubeObject | null;
  try {
    const impersonate = actingAs(serviceAccount);
    const mapping = await port.mapper.mapping({ ...id, version: target.version });
    const options = { signal, timeoutMs: READ_TIMEOUT_MS, ...(impersonate === undefined ? {} : { impersonate }) };
    live = await getObject(port.client, mapping, id, options);
  } catch (error) {
    if (signal.aborted) throw error;
    return refusalOf(error, id, identityName(serviceAccount));
  }
  const comparison = await comparisonOf(app, target.planned, port);
  const release = comparison === undefined ? {} : { release: app.wanted?.release ?? '' };
  if (live === null) return { is: 'absent', ...release };
  // What is sealed is secret as a whole, whatever its kind.
  const isHidden = target.planned?.isSealed === true || isHiddenKind(live);
  const shown = shownObject(live, isHidden);
  const { text, isCut } = boundedJson(shown, lookLimits.maxManifestBytes);
  const findings = comparison === undefined ? [] : await findingsOf(live, target.key, comparison, port, signal);
  const differences = findings.map((finding) => differenceOf(finding, isHidden));
  const wanted = comparison === undefined || !isHidden ? undefined : keysOnly(parsed(comparison.wanted));
  return {
    is: 'live',
    manifest: text,
    ...(isCut ? { isCut } : {}),
    ...(wanted === undefined ? {} : { wanted: boundedJson(wanted, lookLimits.maxWantedBytes).text }),
    git: boundedPointers([...ownedPointers(live, FIELD_MANAGER), ...findings.flatMap(pointerOfGit)]),
    ...release,
    differences: differences.slice(0, lookLimits.maxDifferences),
    ...(differences.length > lookLimits.maxDifferences ? { more: differences.length - lookLimits.maxDifferences } : {}),
  };
}

interface Target {
  readonly key: ObjectKey;
  readonly version: string;
  readonly planned: PlannedObject | undefined;
}

/** The object where it lives in this cluster, if it is planned or in the inventory of exactly this application. */
function targetOf(app: AppState, asked: ObjectIdentity): Target | undefined {
  const namespace = app.wanted?.settings.defaultNamespace ?? 'default';
  const keys = [formatId(asked), ...(asked.namespace === '' ? [formatId({ ...asked, namespace })] : [])];
  for (const key of keys) {
    const planned = app.objects.get(key)?.object;
    if (planned !== undefined) return { key, version: planned.id.version, planned };
    const held = app.record?.inventory.get(key);
    if (held !== undefined) return { key, version: held.version, planned: undefined };
  }
  return undefined;
}

interface Comparison {
  readonly wanted: KubeObject | Uint8Array;
  readonly ignore: readonly string[];
  readonly veil: (live: KubeObject) => KubeObject;
}

/** Undefined: the wanted bundle is not planned yet, or the object is none that is held. */
async function comparisonOf(
  app: AppState,
  planned: PlannedObject | undefined,
  { wantedObjects }: LookPort,
): Promise<Comparison | undefined> {
  if (planned === undefined || planned.isCreateOnly || app.wanted === undefined) return undefined;
  if (app.plan?.bundle !== app.wanted.bundle) return undefined;
  await wantedObjects.prepare(planned, app.owner).catch(() => undefined);
  const wanted = wantedObjects.comparable(planned, app.owner);
  if (wanted === undefined) return undefined;
  const veil = (live: KubeObject): KubeObject => (planned.isSealed ? wantedObjects.veil(live) : live);
  return { wanted, ignore: ignoreRulesFor(app.wanted, planned.id), veil };
}

interface LookFinding extends Omit<Finding, 'verdict'> {
  readonly verdict: LookDifference['verdict'];
}

/** As the watches judge it: what drift is comes first. What a rule excepts, or an autoscaler holds, is shown, and does not count. */
async function findingsOf(
  live: KubeObject,
  key: ObjectKey,
  { wanted, ignore, veil }: Comparison,
  port: LookPort,
  signal: AbortSignal,
): Promise<LookFinding[]> {
  const veiled = veil(live);
  const all = compareFields(veiled, wanted, []).findings;
  const counted = new Map(compareFields(veiled, wanted, ignore).findings.map((one) => [one.path, one]));
  const isScaled = counted.has('.spec.replicas') && mayBeAutoscaled(live);
  const isAutoscaled = isScaled && (await createAutoscalerLookup(port)(key, signal).catch(() => false));
  const found = new Map<string, LookFinding>();
  for (const one of all) {
    if (found.has(one.path)) continue;
    const judged = counted.get(one.path);
    const isLeft = judged !== undefined && (judged.verdict !== 'drift' || (isAutoscaled && one.pointer === REPLICAS));
    found.set(one.path, { ...one, verdict: judged === undefined ? 'ignored' : isLeft ? 'left' : 'drift' });
  }
  const rank = { drift: 0, left: 1, ignored: 2 } as const;
  return [...found.values()].sort((a, b) => rank[a.verdict] - rank[b.verdict]);
}

function differenceOf({ path, pointer = '', kind, verdict, want, live, author }: LookFinding, isHidden: boolean): LookDifference {
  const json = (value: unknown): string | undefined =>
    value === undefined ? undefined : isHidden ? REDACTED : shortJson(value, lookLimits.maxValueLength);
  const [wantJson, liveJson] = [json(want), json(live)];
  return {
    path: capBytes(path, 1024),
    ...(pointer === '' || pointer.length > lookLimits.maxPointerLength ? {} : { pointer }),
    kind,
    verdict,
    ...(wantJson === undefined ? {} : { want: wantJson }),
    ...(liveJson === undefined ? {} : { live: liveJson }),
    ...(author === undefined || author.manager === '' ? {} : { manager: author.manager.slice(0, 256) }),
    ...(author?.time === undefined ? {} : { at: author.time.slice(0, 40) }),
  };
}

/** A field that Git says is Git's, whoever holds it now. */
function pointerOfGit({ kind, pointer }: LookFinding): string[] {
  return pointer === undefined || kind === 'added' ? [] : [pointer];
}

function boundedPointers(pointers: readonly string[]): string[] {
  let left: number = lookLimits.maxPointerTotal;
  return [...new Set(pointers)]
    .filter((pointer) => pointer.length <= lookLimits.maxPointerLength && (left -= pointer.length) >= 0)
    .slice(0, lookLimits.maxPointers);
}

function parsed(wanted: KubeObject | Uint8Array): KubeObject {
  return wanted instanceof Uint8Array ? (JSON.parse(Buffer.from(wanted).toString('utf8')) as KubeObject) : wanted; // canonical
}

function refusalOf(error: unknown, id: { readonly group: string; readonly kind: string }, identity: string): Found {
  const said = error instanceof KubeStatusError ? error.said : messageOf(error);
  const words = capBytes(redactMessage(said, isSecretKind(id) ? { kind: 'Secret' } : {}), 700);
  if (hasStatus(error, 403)) return { is: 'refused', refusal: 'forbidden', words: `${identity} may not read it: ${words}` };
  const isServed = !(error instanceof FairleadError && error.code === 'FL_KUBE_NO_KIND');
  return isServed ? { is: 'refused', refusal: 'failed', words } : { is: 'absent' };
}
