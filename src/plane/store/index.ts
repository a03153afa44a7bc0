/**
 * store: the one place where the plane keeps things. Objects with revisions, their change log, content by digest, effects,
 * audit, leases; a commit is a value, acknowledged after fsync, and revision order is commit order.
 */
export * from './types.ts';
