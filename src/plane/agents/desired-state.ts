import { sha256 } from '#base';
import {
  applyIdentity,
  payloadTypes,
  seal,
  type Cluster,
  type Delivery,
  type DesiredApplication,
  type DesiredPosition,
  type DesiredState,
  type DesiredStateRow,
  type Project,
  type Release,
  type RetireEntry,
  type Signer,
} from '#api';
import { nextPosition, remember, type Issued } from './positions.ts';

/** A desired state before it has a number and a time. */
export type DesiredContent = Omit<DesiredState, 'epoch' | 'seq' | 'issuedAt'>;

export interface ComposeInput {
  readonly planeId: string;
  readonly keySetVersion: number;
  readonly cluster: Cluster;
  readonly kubeSystemUid: string;
  /** Deliveries to this cluster. */
  readonly deliveries: readonly Delivery[];
  /** By `project/name`; only those that are wanted or applied. */
  readonly releases: ReadonlyMap<string, Release>;
  readonly projects: ReadonlyMap<string, Project>;
  /** By `project/application`: what a person wrote to have everything compared anew. */
  readonly nudges: ReadonlyMap<string, string>;
  /** What was signed for this cluster before, the most trusted first. */
  readonly previous: readonly DesiredState[];
}

const DEFAULT_BUDGET = { maxObjects: 10, maxPercent: 20 };

/**
 * What one cluster should hold, from its Deliveries. Pure and canonical: equal input gives equal content.
 *
 * What cannot be resolved (the Release is not here after a restore, the Project is gone or does not allow the service
 * account) keeps what was signed before, if anything was: absence is never an instruction. A number never goes back within
 * one Application: a Delivery that wants less than was signed keeps what was signed.
 */
export function composeContent(input: ComposeInput): DesiredContent {
  const applications: DesiredApplication[] = [];
  const retire: RetireEntry[] = [];
  for (const delivery of input.deliveries) {
    const entry = delivery.spec.retire === undefined ? desiredApplication(delivery, input) : undefined;
    if (entry !== undefined) applications.push(entry);
    const exit = retireEntry(delivery, input);
    if (exit !== undefined) retire.push(exit);
  }
  return {
    planeId: input.planeId,
    cluster: input.cluster.metadata.name,
    kubeSystemUid: input.kubeSystemUid,
    keySetVersion: input.keySetVersion,
    crit: [],
    labels: sorted(input.cluster.metadata.labels ?? {}),
    deletionsPaused: input.cluster.status?.recovery !== undefined,
    applications: applications.sort((a, b) => compare(a.project, b.project) || compare(a.name, b.name)),
    retire: retire.sort((a, b) => compare(a.id, b.id)),
    approvals: [],
  };
}

function desiredApplication(delivery: Delivery, input: ComposeInput): DesiredApplication | undefined {
  const { wanted } = delivery.spec;
  if (wanted === undefined) return undefined;
  const project = delivery.metadata.namespace ?? '';
  const signed = input.previous
    .flatMap((document) => document.applications)
    .filter((one) => one.project === project && one.name === delivery.spec.application);
  const fresh = resolve(delivery, input);
  const isSame = (one: DesiredApplication): boolean => one.release === wanted.release && one.bundle === wanted.bundle;
  const highest = signed.toSorted((a, b) => b.number - a.number)[0];
  const isBack = fresh !== undefined && highest !== undefined && highest.uid === fresh.uid && highest.number > fresh.number;
  const chosen = isBack ? highest : (fresh ?? signed.find(isSame) ?? signed[0]);
  if (chosen === undefined) return undefined;
  const { waiver: _old, nudge: _before, ...entry } = chosen;
  const { waiver } = delivery.spec;
  const nudge = input.nudges.get(`${project}/${delivery.spec.application}`);
  return {
    ...entry,
    ...(waiver?.for === entry.bundle ? { waiver: { bundle: entry.bundle, actor: waiver.actor } } : {}),
    ...(nudge === undefined ? {} : { nudge }),
  };
}

/** The entry for what is wanted, or undefined when something it needs is missing or not allowed. */
function resolve(delivery: Delivery, { releases, projects }: ComposeInput): DesiredApplication | undefined {
  const { wanted, application } = delivery.spec;
  const namespace = delivery.metadata.namespace ?? '';
  const release = wanted === undefined ? undefined : releases.get(`${namespace}/${wanted.release}`);
  const project = projects.get(namespace);
  if (wanted === undefined || release === undefined || project === undefined) return undefined;
  // A Release of the same name from another history: what is wanted is not in it.
  if (release.spec.number !== wanted.number || !release.spec.bundles.some((bundle) => bundle.digest === wanted.bundle))
    return undefined;
  const identity = applyIdentity(project, release.spec.settings);
  if (identity.refused !== undefined) return undefined;
  const { namespaces, clusterKinds, deniedKinds } = project.spec;
  return {
    project: namespace,
    name: application,
    uid: release.spec.applicationUid,
    release: wanted.release,
    number: wanted.number,
    commit: release.spec.source.commit,
    bundle: wanted.bundle,
    settings: release.spec.settings,
    limits: {
      namespaces: [...(namespaces ?? [])],
      clusterKinds: [...(clusterKinds ?? [])],
      deniedKinds: [...(deniedKinds ?? [])],
      ...budgetOf(project),
    },
    ...(identity.serviceAccount === undefined ? {} : { serviceAccount: identity.serviceAccount }),
  };
}

function budgetOf(project: Project | undefined): { maxDeletions: number; maxDeletionPercent: number } {
  const { maxObjects = DEFAULT_BUDGET.maxObjects, maxPercent = DEFAULT_BUDGET.maxPercent } = project?.spec.deletionBudget ?? {};
  return { maxDeletions: maxObjects, maxDeletionPercent: maxPercent };
}

function retireEntry(delivery: Delivery, input: ComposeInput): RetireEntry | undefined {
  const { retire, wanted, waiver, application } = delivery.spec;
  if (retire === undefined) return undefined;
  const namespace = delivery.metadata.namespace ?? '';
  const project = input.projects.get(namespace);
  const releases = [wanted?.release, delivery.status?.applied?.release].map((name) =>
    input.releases.get(`${namespace}/${name ?? ''}`),
  );
  const signed = input.previous
    .flatMap((document) => document.applications)
    .find((one) => one.project === namespace && one.name === application);
  const before = input.previous.flatMap((document) => document.retire).find((one) => one.id === retire.id);
  const release = releases.find((one) => one !== undefined);
  const identity = project === undefined || release === undefined ? undefined : applyIdentity(project, release.spec.settings);
  const isRefused = identity === undefined || identity.refused !== undefined;
  const serviceAccount = isRefused ? (signed?.serviceAccount ?? before?.serviceAccount) : identity.serviceAccount;
  // Deleting needs an identity that the Project allows or that was signed before; letting go needs none.
  if (retire.mode === 'Delete' && isRefused && signed === undefined && before === undefined) return undefined;
  return {
    id: retire.id,
    project: namespace,
    application,
    uid: release?.spec.applicationUid ?? signed?.uid ?? before?.uid ?? '',
    mode: retire.mode,
    reason: retire.reason,
    actor: retire.actor,
    maxObjects: Math.max(
      before?.maxObjects ?? 0,
      delivery.status?.objects?.total ?? 0,
      ...releases
        .flatMap((one) => one?.spec.bundles.filter((bundle) => bundle.clusters.includes(delivery.spec.cluster)) ?? [])
        .map((bundle) => bundle.objects),
    ),
    ...budgetOf(project),
    waived: waiver?.for === retire.id,
    ...(serviceAccount === undefined ? {} : { serviceAccount }),
  };
}

export interface IssueInput {
  readonly content: DesiredContent;
  readonly issued: Issued | undefined;
  /** What an agent proved to hold, in a recovery: the new position comes after it. */
  readonly adopted?: DesiredPosition;
  readonly signers: readonly Signer[];
  /** RFC 3339. */
  readonly now: string;
}

/** Signs content under the next position. */
export function issue({ content, issued, adopted, signers, now }: IssueInput): DesiredStateRow['spec'] {
  const { epoch, seq } = nextPosition(issued?.position, adopted);
  const document: DesiredState = { ...content, epoch, seq, issuedAt: now };
  const bytes = Buffer.from(JSON.stringify(document));
  return {
    position: { epoch, seq, digest: sha256(bytes) },
    envelope: seal(payloadTypes.desired, bytes, signers),
    content: contentDigest(content),
    history: [...remember(issued, ...(adopted === undefined ? [] : [adopted]))],
  };
}

export function contentDigest(content: DesiredContent): string {
  return sha256(canonical(content));
}

/** JSON with sorted keys: equal values give equal text. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one) ? sorted(one as Record<string, unknown>) : one,
  );
}

function sorted<T>(record: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => compare(a, b)));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
