/**
 * deliveries: the verdict on every Delivery, one Application on one Cluster. `decide` is the one place that says whether it
 * is ready and why not; the controller writes that when it changes. Guarantees: nothing is ready unless reported for the
 * wanted release and bundle, and every surface says the same sentence. It assigns nothing (rollouts do) and talks to no
 * agent.
 */
import type { Controller } from '#plane/engine';
import { DeliveryController, type DeliveryControllerOptions } from './delivery-controller.ts';

export * from './admit.ts';
export { candidatesOf, type Candidate } from './candidates.ts';
export { decide, differenceOf, type DeliveryStatus } from './decide.ts';
export * from './delivery-admission.ts';
export type { DeliveryControllerOptions } from './delivery-controller.ts';
export * from './facts.ts';
export { readFacts, ReleaseHeads, type FactsOptions } from './read-facts.ts';
export * from './why.ts';

export function createDeliveries(options: DeliveryControllerOptions): readonly Controller[] {
  return [new DeliveryController(options)];
}
