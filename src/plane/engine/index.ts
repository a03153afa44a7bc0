/**
 * engine: the one way to run a loop. Level-triggered controllers with keyed queues, single flight per key and back-off;
 * the engine commits what they decide and runs the effects afterwards.
 */
export * from './types.ts';
