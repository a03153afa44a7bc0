import { reasonOf, suspended, type Application, type Release, type UntimedReason } from '#api';
import type { FleetCluster } from '../fleet.ts';

export type Permission = { readonly go: true } | { readonly go: false; readonly because: UntimedReason };

/**
 * Whether a Release may go to a cluster now. Rollouts in waves, budgets, windows and policies plug in here; at first one
 * wave: everywhere at once, except where somebody said no. Pure.
 */
export function mayRelease(application: Application, _release: Release | undefined, cluster: FleetCluster): Permission {
  if (application.spec.suspend === true) {
    return {
      go: false,
      because: reasonOf(
        'FL_HOLD_SUSPENDED',
        suspended(`application/${application.metadata.name}`, application.metadata.namespace),
      ),
    };
  }
  if (cluster.isSuspended) return { go: false, because: reasonOf('FL_HOLD_SUSPENDED', suspended(`cluster/${cluster.name}`)) };
  return { go: true };
}
