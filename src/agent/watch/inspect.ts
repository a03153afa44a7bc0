import {
  authorOf,
  differsFromWanted,
  foreignFields,
  formatSteps,
  getPointer,
  ownedPaths,
  pointerOf,
  isWithin,
  type Difference,
  type FieldAuthor,
  type KubeObject,
  type LegacyManager,
} from '#kube';
import { controllerOf, FIELD_MANAGER, OBJECT_ANNOTATION, OWNER_LABEL, PRUNE_ANNOTATION } from '../apply/marks.ts';
import type { Drift, ObjectKey } from '../core/model.ts';

/** What a look at a live object of ours says. */
export interface Inspection {
  /** What is to be put back; undefined when all is as wanted. */
  readonly drift: Drift | undefined;
  /** Fields (JSON pointers into the live object) that a controller or another applier holds: left to it. */
  readonly yielded: readonly string[];
  /** Fields that another applier took and that Git wants otherwise. */
  readonly conflicts: readonly { readonly field: string; readonly manager: string }[];
  /** People's tools that added fields: claimed before the next apply, so that it removes them. */
  readonly intruders: readonly LegacyManager[];
  /** `/spec/replicas` is part of the drift. Whether that counts depends on whether an autoscaler aims at the object. */
  readonly isScaled: boolean;
}

const MAX_FIELDS = 20;

// kubectl and its subcommands, Helm, and what the consoles of the field write as (some only as the browser or Node they run in).
const tools =
  /^(kubectl|helm|k9s|headlamp|lens|openlens|freelens|aptakube|octant|dashboard|kubernetes-dashboard|mozilla|node-fetch|oc)([-_/.].*)?$/i;

/**
 * Controllers that only ever fill in what manifests leave to them, as with `rules: []` of an aggregated ClusterRole or
 * `caBundle: ""` of a webhook: their word counts more than the placeholder in Git.
 */
const fillers = new Set(['clusterrole-aggregation-controller', 'cert-manager-cainjector', 'cainjector', 'service-ca-operator']);

/** Whether a field manager is a person with a tool. `kubectl rollout restart` only asks for a restart: undoing it would be another. */
export function isHumanTool(manager: string): boolean {
  return tools.test(manager) && manager !== 'kubectl-rollout';
}

/** One field that is not as applied, and what that means. */
export interface Finding {
  /** `added`: by a person's tool, beside what Git says. */
  readonly kind: Difference['kind'] | 'added';
  readonly path: string;
  readonly live: unknown;
  readonly want: unknown;
  readonly author: FieldAuthor | undefined;
  /** `drift`: to be put back. `yielded`: left to whoever holds it; `conflict`: that is another applier, and Git wants it otherwise. */
  readonly verdict: 'drift' | 'yielded' | 'conflict';
  /** Of the field in the live object, where it is there. */
  readonly pointer: string | undefined;
}

/**
 * Compares a live object (with managedFields) with what was applied, field by field: what drift is, wherever it is told.
 * `ignore`: JSON pointers that do not count. Pure.
 */
export function compareFields(
  live: KubeObject,
  wanted: KubeObject | Uint8Array,
  ignore: readonly string[],
): { readonly findings: readonly Finding[]; readonly intruders: readonly LegacyManager[] } {
  const findings: Finding[] = [];
  const yielded = new Set<string>();
  for (const difference of differsFromWanted(live, wanted, { manager: FIELD_MANAGER, ignorePointers: ignore })) {
    const { kind, path, live: is, want, steps } = difference;
    const author = authorOf(live, steps, { ours: FIELD_MANAGER });
    const pointer = pointerOf(live, difference);
    const verdict = pointer === undefined ? 'drift' : verdictOn(author, kind);
    if (verdict !== 'drift' && pointer !== undefined) yielded.add(pointer);
    findings.push({ kind, path, live: is, want, author, verdict, pointer });
  }
  const intruders: LegacyManager[] = [];
  const ours = new Set(ownedPaths(live, FIELD_MANAGER));
  for (const foreign of foreignFields(live, { ours: FIELD_MANAGER })) {
    if (foreign.subresource !== '' || !isHumanTool(foreign.manager)) continue;
    const added = foreign.fields.filter(
      ({ path, pointer }) =>
        !ours.has(path) && !isHarmless(pointer) && !ignore.some((rule) => isIgnored(pointer, rule)) && !yielded.has(pointer),
    );
    if (added.length === 0) continue;
    intruders.push({ manager: foreign.manager, operation: foreign.operation });
    const { manager, operation, time, subresource } = foreign;
    const author = { manager, operation, time, subresource };
    for (const { path, pointer } of added)
      findings.push({
        kind: 'added',
        path,
        live: getPointer(live, pointer),
        want: undefined,
        author,
        verdict: 'drift',
        pointer,
      });
  }
  return { findings, intruders };
}

function verdictOn(author: FieldAuthor | undefined, kind: Difference['kind']): Finding['verdict'] {
  if (author === undefined || isHumanTool(author.manager)) return 'drift';
  // An autoscaler's word on replicas counts more than Git's.
  if (author.subresource === 'scale' || fillers.has(author.manager)) return 'yielded';
  if (author.operation !== 'Apply') return 'drift';
  return kind === 'unowned' ? 'yielded' : 'conflict';
}

/** Compares a live object (with managedFields) with what was applied. `ignore`: JSON pointers that do not count. Pure. */
export function inspect(live: KubeObject, wanted: KubeObject | Uint8Array, ignore: readonly string[]): Inspection {
  const { findings, intruders } = compareFields(live, wanted, ignore);
  const fields = new Set<string>();
  const yielded: string[] = [];
  const conflicts: { field: string; manager: string }[] = [];
  let isOnlyUnowned = true;
  let newest = { manager: '', at: '' };
  for (const { kind, path, author, verdict, pointer } of findings) {
    if (verdict !== 'drift') {
      if (pointer !== undefined) yielded.push(pointer);
      if (verdict === 'conflict') conflicts.push({ field: path, manager: author?.manager ?? '' });
      continue;
    }
    // A field of Git's that a tool wrote is told by both comparisons; the first knows what it is.
    if (kind !== 'unowned' && !(kind === 'added' && fields.has(path))) isOnlyUnowned = false;
    fields.add(path);
    const at = author?.time ?? '';
    if (author !== undefined && (newest.manager === '' || at > newest.at)) newest = { manager: author.manager, at };
  }
  return {
    drift:
      fields.size === 0
        ? undefined
        : {
            kind: isOnlyUnowned ? 'unowned' : 'changed',
            fields: [...fields].slice(0, MAX_FIELDS),
            manager: newest.manager,
            at: newest.at,
          },
    yielded,
    conflicts,
    intruders,
    isScaled: fields.has(REPLICAS_PATH),
  };
}

/** How managedFields name what `REPLICAS` points to. */
const REPLICAS_PATH = formatSteps(['f:spec', 'f:replicas']);

/** The drift of an object that lost its marks: which, and who overwrote them. Who took one away is not recorded anywhere. Pure. */
export function inspectStripped(live: KubeObject, owner: string, key: ObjectKey): Drift {
  const { labels, annotations } = live.metadata;
  const lost: string[][] = [];
  if (labels?.[OWNER_LABEL] !== owner) lost.push(['f:metadata', 'f:labels', `f:${OWNER_LABEL}`]);
  if (annotations?.[OBJECT_ANNOTATION] !== key) lost.push(['f:metadata', 'f:annotations', `f:${OBJECT_ANNOTATION}`]);
  if (controllerOf(live.metadata) !== undefined) lost.push(['f:metadata', 'f:ownerReferences']);
  const authors = lost.flatMap((steps) => authorOf(live, steps, { ours: FIELD_MANAGER }) ?? []);
  authors.sort((a, b) => ((a.time ?? '') < (b.time ?? '') ? 1 : -1));
  return { kind: 'stripped', fields: lost.map(formatSteps), manager: authors[0]?.manager ?? '', at: authors[0]?.time ?? '' };
}

/** What people may set on an object of ours: it changes nothing that Git says. */
function isHarmless(pointer: string): boolean {
  return (
    pointer.startsWith('/metadata/finalizers') ||
    pointer.startsWith('/metadata/ownerReferences') ||
    pointer.startsWith('/status') ||
    pointer === `/metadata/annotations/${PRUNE_ANNOTATION.replace('/', '~1')}` ||
    pointer.endsWith('/annotations/kubectl.kubernetes.io~1restartedAt') ||
    pointer === '/metadata/annotations' ||
    pointer === '/metadata/labels'
  );
}

/** `*` in a rule stands for any one step. */
function isIgnored(pointer: string, rule: string): boolean {
  if (!rule.includes('*')) return isWithin(pointer, rule);
  const at = pointer.split('/');
  const pattern = rule.split('/');
  return pattern.length <= at.length && pattern.every((step, index) => step === '*' || step === at[index]);
}
