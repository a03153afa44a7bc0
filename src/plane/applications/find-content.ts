import { applyIdentity, Project, reasonOf, REFRESH_ANNOTATION, suspended, type UntimedReason } from '#api';
import type { ReconcileContext } from '#plane/engine';
import type { Renderer } from '#render';
import { byStatus, findSource, openSource, type FoundSource } from './application-source.ts';
import type { Fleet } from './fleet.ts';
import { Pins } from './pins.ts';
import { bundlesOf, emptiedCluster, settingsOf } from './plan-release.ts';
import type { Found, Subject } from './release-subject.ts';
import type { ResolveReferences } from './remote-references.ts';
import { reasonOfError } from './render-reason.ts';
import { renderTree } from './render-tree.ts';
import { retryAfterMs } from './retry.ts';
import type { OpenSnapshot } from './snapshot-files.ts';
import { targetsOf, type Targeting } from './targets.ts';
import type { Derive, TreeRow } from './tree-context.ts';
import { baseGroups } from './wanted-groups.ts';

export interface ContentOptions {
  readonly fleet: Fleet;
  readonly renderer: Pick<Renderer, 'render' | 'version'>;
  readonly openSnapshot: OpenSnapshot;
  /** Fetches what an application needs from other places; absent: it says what that is. */
  readonly resolveReferences?: ResolveReferences;
  readonly derive: Derive;
  /** Verdicts on inputs that do not change by being tried again. */
  readonly verdicts: Map<string, UntimedReason>;
}

/** Everything up to the content of a Release, or why there is none. */
export async function findContent(subject: Subject, options: ContentOptions, context: ReconcileContext): Promise<Found> {
  const { read } = context;
  const { application, newest } = subject;
  const { namespace = '', name } = application.metadata;
  if (application.spec.suspend === true)
    return { reason: reasonOf('FL_HOLD_SUSPENDED', suspended(`application/${name}`, namespace)) };
  const project = await read.get(Project, { namespace: '', name: namespace });
  if (project === undefined) return { reason: reasonOf('FL_CLAIM_PROJECT', { project: namespace }) };
  const { path = '.' } = application.spec.source;
  const given = await findSource(read, application, byStatus(application));
  if ('reason' in given) return given;
  const { found: source } = given;
  const { snapshot } = source;
  const targeting = targetsOf(application, project, await options.fleet.clusters(read));
  const { settings, settingsDigest } = settingsOf(application);
  if (targeting.clusters.length > 0) {
    const { refused } = applyIdentity(project, settings);
    if (refused !== undefined) return { snapshot, source, reason: refused };
  }
  const failure = await renderAll(subject, source, targeting, options, context);
  if (failure !== undefined) {
    const againMs = retryAfterMs(failure.code);
    return { snapshot, source, reason: failure, ...(againMs === undefined ? {} : { againMs }) };
  }
  const bundles = bundlesOf(subject.memory.trees ?? []);
  const emptied = emptiedCluster(bundles, newest);
  if (emptied !== undefined) {
    const objects = `${emptied.objects} objects`;
    return { snapshot, source, reason: reasonOf('FL_RENDER_EMPTY', { path, commit: snapshot.commit.slice(0, 12), objects }) };
  }
  // A source that fails now does not undo what its last Snapshot says; it only has to be said.
  const reason = source.reason ?? targetingReason(targeting, namespace);
  return { snapshot, source, content: { settings, settingsDigest, bundles }, ...(reason === undefined ? {} : { reason }) };
}

/** Brings the memory's trees to this snapshot, or says why not. */
async function renderAll(
  { application, memory, row }: Subject,
  source: FoundSource,
  targeting: Targeting,
  { renderer, derive, verdicts, openSnapshot, resolveReferences }: ContentOptions,
  context: ReconcileContext,
): Promise<UntimedReason | undefined> {
  const grouping = baseGroups(application, targeting, renderer.version);
  if (!grouping.ok) return reasonOf('FL_RENDER_PATH', { message: pathMessage(grouping) });
  const known = memory.trees ?? row?.spec.trees ?? [];
  const asked = application.metadata.annotations?.[REFRESH_ANNOTATION];
  const refreshed = memory.trees === undefined ? row?.spec.refreshed : memory.refreshed;
  const pins = new Pins(known, asked, refreshed);
  const trees: TreeRow[] = [];
  try {
    const files = await openSource(application, source, openSnapshot);
    for (const group of grouping.groups) {
      const outcome = await renderTree(
        group,
        known.find((tree) => tree.base === group.base),
        {
          project: application.metadata.namespace ?? '',
          application: application.metadata.name,
          defaultNamespace: application.spec.defaultNamespace,
          snapshot: files,
          commitTimeMs: Date.parse(source.snapshot.committedAt),
          nowMs: context.clock.now(),
          pins,
          renderer,
          derive,
          read: context.read,
          signal: context.signal,
          verdicts,
          resolveReferences,
          isOneOfMany: grouping.groups.length > 1,
        },
        memory.staged,
      );
      if ('reason' in outcome) return outcome.reason;
      trees.push(outcome.row);
    }
  } catch (error) {
    const reason = reasonOfError(error);
    if (reason === undefined) throw error;
    return reason;
  }
  memory.trees = trees.sort((a, b) => (a.base < b.base ? -1 : 1));
  memory.refreshed = asked;
  return undefined;
}

function targetingReason(targeting: Targeting, project: string): UntimedReason | undefined {
  if (targeting.clusters.length > 0 || targeting.plane !== undefined) return undefined;
  const [refused] = targeting.refused;
  return refused === undefined ? reasonOf('FL_NO_TARGETS', {}) : reasonOf('FL_CLAIM_CLUSTER', { project, cluster: refused.name });
}

/** Names the cluster once, and leaves out how a manifest would escape a variable. */
function pathMessage({ message, cluster }: { readonly message: string; readonly cluster: string }): string {
  const text = message.replace(/^variable /, '').replace(/; write \$\$\{ for a literal \$\{$/, '');
  return text.includes(`"${cluster}"`) ? text : `${text} (cluster ${cluster})`;
}
