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

/** `fairlead reconcile TARGET`: look again now, at the source and in the clusters. */
export async function reconcile(plane: Plane, io: Io, target: Target): Promise<number> {
  await plane.patch(target.kind, target.key, {
    metadata: { annotations: { 'fairlead.dev/reconcile': new Date(io.now()).toISOString() } },
  });
  io.out(`${describeTarget(target)} asked to reconcile\n`);
  return 0;
}
