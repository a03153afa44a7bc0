import { Application, ChartRepository, GitRepository, RECONCILE_ANNOTATION, REFRESH_ANNOTATION } from '#api';
import { FairleadError } from '#base';
import type { Plane } from '../connect.ts';
import type { Io } from '../output.ts';
import { describeTarget, type Target } from '../targets.ts';

/** `fairlead suspend|resume TARGET`. */
export async function setSuspended(plane: Plane, io: Io, target: Target, suspended: boolean): Promise<number> {
  // null removes the field (RFC 7386), so that a resumed object looks as if it had never been suspended.
  await plane.patch(target.kind, target.key, { spec: { suspend: suspended ? true : null } });
  io.out(`${describeTarget(target)} ${suspended ? 'suspended' : 'resumed'}\n`);
  return 0;
}

/**
 * `fairlead reconcile TARGET`: look again now; of an application at its sources first, then in the clusters. `refresh`: also
 * resolve anew what its charts and kustomizations name elsewhere.
 */
export async function reconcile(plane: Plane, io: Io, target: Target, refresh: boolean): Promise<number> {
  if (refresh && target.kind.kind !== Application.kind)
    throw new FairleadError('FL_CLI_TARGET', `--refresh is for an application, and ${describeTarget(target)} is none`, {
      kind: 'invalid',
    });
  const now = new Date(io.now()).toISOString();
  for (const one of await sourcesOf(plane, target)) {
    await plane.patch(one.kind, one.key, { metadata: { annotations: { [RECONCILE_ANNOTATION]: now } } });
    io.out(`${describeTarget(one)} asked to reconcile\n`);
  }
  const annotations = { [RECONCILE_ANNOTATION]: now, ...(refresh ? { [REFRESH_ANNOTATION]: now } : {}) };
  await plane.patch(target.kind, target.key, { metadata: { annotations } });
  io.out(`${describeTarget(target)} asked to reconcile${refresh ? ' and to resolve anew what it fetches from elsewhere' : ''}\n`);
  return 0;
}

/** Where an application comes from, as far as that exists: a correction that was just pushed is not seen in the clusters alone. */
async function sourcesOf(plane: Plane, { kind, key }: Target): Promise<readonly Target[]> {
  const application = kind.kind === Application.kind ? await plane.get(Application, key) : undefined;
  if (application === undefined) return [];
  const { sourceRef, files = [] } = application.spec.source;
  const named = new Map<string, Target>();
  for (const ref of [sourceRef, ...files.map((file) => file.sourceRef)]) {
    const source = { kind: ref.kind === ChartRepository.kind ? ChartRepository : GitRepository, key: { ...key, name: ref.name } };
    if ((await plane.get(source.kind, source.key)) !== undefined) named.set(`${ref.kind}/${ref.name}`, source);
  }
  return [...named.values()];
}
