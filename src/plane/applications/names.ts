/** Holds an Application until its Deliveries know what its deletion means for them. */
export const DELIVERIES_FINALIZER = 'fairlead.dev/deliveries';

/** Who makes Releases and lets go of deleted Applications, in the audit and in retirements. */
export const ACTOR = 'system:fairlead:applications';

/** Who assigns, and lets go of clusters that left the targets. */
export const ROLLOUT_ACTOR = 'system:fairlead:rollouts';
