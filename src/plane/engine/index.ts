/**
 * engine: the one way to run a loop. Level-triggered controllers with keyed queues, single flight per key and back-off;
 * the engine commits what they decide under its lease's fence and runs the effects afterwards, at least once. It knows no
 * business rule, and a controller never writes by itself.
 */
export * from './create-engine.ts';
export * from './types.ts';
export type { ControllerCounters } from './controller-loop.ts';
export type { EffectCounters } from './effect-loop.ts';
