import { reasonOf, type Application, type Project, type UntimedReason } from '#api';

/** An object of the plane's API as a bundle holds it. */
export interface PlaneManifest {
  /** `Kind/namespace/name`; namespace is empty for cluster-scoped kinds. */
  readonly id: string;
  readonly kind: string;
  readonly namespace: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface SelfInput {
  readonly application: Application;
  readonly project: Project;
  /** What the newest Release says the plane should hold, in order of application. */
  readonly wanted: readonly PlaneManifest[];
  /** What it holds by this Application, as recorded before. */
  readonly held: readonly string[];
  /** What other Applications hold: id → `namespace/name`. */
  readonly others: ReadonlyMap<string, string>;
  /** Digest of the bundle: what a waiver names. */
  readonly bundle: string;
  readonly waiver: string | undefined;
}

export interface SelfPlan {
  readonly apply: readonly PlaneManifest[];
  readonly prune: readonly string[];
  /** Let go without deleting: itself, and what another Application holds too. */
  readonly orphan: readonly string[];
}

/** Deleting one of these takes more with it than the object: never without a waiver. */
const protectedKinds: ReadonlySet<string> = new Set(['Cluster', 'Project', 'Namespace']);

const defaultBudget = { maxObjects: 10, maxPercent: 20 };

/**
 * What to apply to the plane itself and what to delete from it, or why nothing of it may happen. Only what is recorded as held
 * is ever deleted; an Application never deletes itself. Pure.
 */
export function planSelf(input: SelfInput): SelfPlan | { readonly refused: UntimedReason } {
  const { application, project, wanted, held, others } = input;
  const { namespace = '', name } = application.metadata;
  for (const { id, kind, namespace: target } of wanted) {
    if (!mayWrite(project, kind, target)) return { refused: reasonOf('FL_CLAIM_PLANE', { project: namespace, object: id }) };
    const owner = others.get(id);
    if (owner !== undefined) return { refused: reasonOf('FL_CLAIM_PLANE_OWNER', { object: id, owner }) };
  }
  const wantedIds = new Set(wanted.map(({ id }) => id));
  const gone = held.filter((id) => !wantedIds.has(id));
  const itself = `Application/${namespace}/${name}`;
  const orphan = gone.filter((id) => id === itself || others.has(id) || !mayWrite(project, kindOf(id), namespaceOf(id)));
  const prune = gone.filter((id) => !orphan.includes(id));
  const why = application.spec.prune === false ? undefined : whyHeld(prune, held.length, project);
  if (why !== undefined && input.waiver !== input.bundle) {
    const objects = `${prune.slice(0, 3).join(', ')}${prune.length > 3 ? ` and ${prune.length - 3} more` : ''}`;
    return { refused: reasonOf('FL_HOLD_PLANE', { objects, why, application: name, project: namespace, waiver: input.bundle }) };
  }
  // Without pruning, what is gone from Git is let go of.
  return application.spec.prune === false
    ? { apply: wanted, prune: [], orphan: gone }
    : { apply: wanted, prune: prune.toSorted(byDeletion), orphan };
}

function mayWrite(project: Project, kind: string, namespace: string): boolean {
  const kinds = project.spec.planeKinds ?? [];
  if (kinds.includes('*')) return true;
  return kinds.includes(kind) && namespace === project.metadata.name;
}

function whyHeld(prune: readonly string[], total: number, project: Project): string | undefined {
  const protectedOne = prune.find((id) => protectedKinds.has(kindOf(id)));
  if (protectedOne !== undefined) return `${kindOf(protectedOne)} is a protected kind`;
  const { maxObjects = defaultBudget.maxObjects, maxPercent = defaultBudget.maxPercent } = project.spec.deletionBudget ?? {};
  const limit = Math.max(maxObjects, Math.floor((total * maxPercent) / 100));
  return prune.length > limit ? `${prune.length} of ${total} objects, ${limit} need none` : undefined;
}

export function kindOf(id: string): string {
  return id.slice(0, id.indexOf('/'));
}

export function namespaceOf(id: string): string {
  const [, namespace = ''] = id.split('/');
  return namespace;
}

export function nameOf(id: string): string {
  return id.slice(kindOf(id).length + namespaceOf(id).length + 2);
}

/** Kinds that others refer to come first, and go last. */
const order = ['Namespace', 'Project', 'Credential', 'Cluster', 'GitRepository', 'ChartRepository', 'Application'];

function rank(kind: string): number {
  const at = order.indexOf(kind);
  return at < 0 ? order.length : at;
}

export function byApplication(a: PlaneManifest, b: PlaneManifest): number {
  return rank(a.kind) - rank(b.kind) || (a.id < b.id ? -1 : 1);
}

function byDeletion(a: string, b: string): number {
  return rank(kindOf(b)) - rank(kindOf(a)) || (a < b ? 1 : -1);
}
