import { FairleadError, rfc3339, type Clock } from '#base';
import type { Delivery, PlaneObject, Violation } from '#api';
import { admitDelivery } from './admit.ts';

/** What the Kubernetes surface hands to an admission. */
export interface DeliveryAdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly object: PlaneObject;
  readonly previous?: PlaneObject;
  readonly subresource: string;
  readonly actor: string;
}

export interface DeliveryAdmissionResult {
  readonly object?: PlaneObject;
  readonly violations?: readonly Violation[];
  readonly denied?: string;
}

/** `admitDelivery` as an admission of the Kubernetes surface: updates of Deliveries by people. */
export function deliveryAdmission(clock: Clock): (request: DeliveryAdmissionRequest) => DeliveryAdmissionResult {
  return ({ operation, object, previous, subresource, actor }) => {
    if (operation !== 'UPDATE' || subresource !== '' || previous === undefined) return {};
    try {
      // Registered for the kind Delivery only.
      const delivery = object as Delivery;
      return { object: admitDelivery({ object: delivery, previous: previous as Delivery, actor, at: rfc3339(clock.now()) }) };
    } catch (error) {
      if (!(error instanceof FairleadError)) throw error;
      if (error.kind === 'denied') return { denied: error.message };
      return {
        violations: [{ field: 'metadata.annotations', message: error.message, reason: 'FieldValueInvalid' }],
      };
    }
  };
}
