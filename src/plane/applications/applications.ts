import { newUid, type Log, type NewId } from '#base';
import type { Controller } from '#plane/engine';
import { Fleet } from './fleet.ts';
import { createReleaseController, type ReleaseControllerOptions } from './release-controller.ts';
import { createRolloutController } from './rollouts/rollout-controller.ts';
import { createStatusController } from './status-controller.ts';

export interface ApplicationsOptions extends Omit<ReleaseControllerOptions, 'fleet' | 'newId' | 'log'> {
  readonly log: Log;
  readonly newId?: NewId;
}

/** The controllers of this room, for the engine: `applications` (Releases), `rollouts`, `application-status`. */
export function createApplications(options: ApplicationsOptions): readonly Controller[] {
  const fleet = new Fleet();
  const newId = options.newId ?? newUid;
  return [
    createReleaseController({ ...options, fleet, newId }),
    createRolloutController({ fleet, newId }),
    createStatusController(),
  ];
}
