/**
 * base: what every room stands on. Errors, time, ids, back-off, supervised services, bounded queues, logs, child
 * processes. It imports nothing of ours and knows nothing of Kubernetes, Git or Fairlead's nouns.
 */
export * from './backoff.ts';
export * from './clock.ts';
export * from './errors.ts';
export * from './exec.ts';
export * from './file-lock.ts';
export * from './go-build.ts';
export * from './ids.ts';
export * from './log.ts';
export * from './node-flags.ts';
export * from './poll.ts';
export * from './proxy-address.ts';
export * from './queue.ts';
export * from './sensitive.ts';
export * from './service.ts';
export * from './token-buckets.ts';
