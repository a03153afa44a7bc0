import { Application, ChartRepository, GitRepository, RECONCILE_ANNOTATION } from '#api';
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

/** `fairlead reconcile TARGET`: look again now; of an application at its source first, then in the clusters. */
export async function reconcile(plane: Plane, io: Io, target: Target): Promise<number> {
  const source = await sourceOf(plane, target);
  for (const one of source === undefined ? [target] : [source, target]) {
    await plane.patch(one.kind, one.key, {
      metadata: { annotations: { [RECONCILE_ANNOTATION]: new Date(io.now()).toISOString() } },
    });
    io.out(`${describeTarget(one)} asked to reconcile\n`);
  }
  return 0;
}

/** Where an application comes from, if that exists: a correction that was just pushed is not seen in the clusters alone. */
async function sourceOf(plane: Plane, { kind, key }: Target): Promise<Target | undefined> {
  if (kind.kind !== Application.kind) return undefined;
  const application = await plane.get(Application, key);
  if (application === undefined) return undefined;
  const { kind: sourceKind, name } = application.spec.source.sourceRef;
  const source = { kind: sourceKind === ChartRepository.kind ? ChartRepository : GitRepository, key: { ...key, name } };
  return (await plane.get(source.kind, source.key)) === undefined ? undefined : source;
}
