import type { Clock, Log, NewId } from '#base';
import type { PlaneKeys } from '#plane/keys';
import type { Store } from '#plane/store';

/** What the room needs of the plane's keys. */
export type AgentKeys = Pick<
  PlaneKeys,
  'planeId' | 'signer' | 'keySet' | 'keySetEnvelope' | 'verifyKeys' | 'takeOverRotation' | 'onRotation'
>;

export interface AgentsContext {
  readonly store: Store;
  readonly keys: AgentKeys;
  readonly clock: Clock;
  readonly log: Log;
  readonly newUid: NewId;
  /** A frozen plane (its database and its keys do not belong together) signs nothing. */
  readonly frozen: () => boolean;
}
