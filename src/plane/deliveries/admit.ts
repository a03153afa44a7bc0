import { FairleadError } from '#base';
import { WAIVER_ANNOTATION, type Delivery } from '#api';

/** A change of a Delivery by a person, before it is stored. */
export interface DeliveryAdmission {
  /** As the person would have it. */
  readonly object: Delivery;
  /** As stored. */
  readonly previous: Delivery;
  /** User name. */
  readonly actor: string;
  /** RFC 3339. */
  readonly at: string;
}

/**
 * Turns the annotation fairlead.dev/waiver into spec.waiver, with who gave it and when: the actor comes from the
 * authenticated request, never from the object. Removing the annotation takes the waiver back. People change nothing else
 * of the spec. Errors: FL_DELIVERY_SPEC, FL_DELIVERY_WAIVER.
 */
export function admitDelivery({ object, previous, actor, at }: DeliveryAdmission): Delivery {
  if (JSON.stringify(object.spec) !== JSON.stringify(previous.spec)) {
    throw new FairleadError(
      'FL_DELIVERY_SPEC',
      `the spec of delivery ${object.metadata.name} is written by the plane only; change the Application instead`,
      { kind: 'denied' },
    );
  }
  const given = object.metadata.annotations?.[WAIVER_ANNOTATION];
  if (given === previous.metadata.annotations?.[WAIVER_ANNOTATION]) return object;
  if (given === undefined) {
    const { waiver: _taken, ...spec } = object.spec;
    return withSpec(object, previous, spec);
  }
  const { wanted, retire } = object.spec;
  const accepted = retire === undefined ? wanted?.bundle : retire.id;
  if (accepted === undefined || given !== accepted) {
    const wants = accepted === undefined ? 'nothing of it waits for a waiver' : `a waiver for it now is ${accepted}`;
    throw new FairleadError(
      'FL_DELIVERY_WAIVER',
      `${WAIVER_ANNOTATION}=${given} on delivery ${object.metadata.name} names no bundle or retirement it has; ${wants}`,
      { kind: 'invalid' },
    );
  }
  return withSpec(object, previous, { ...object.spec, waiver: { for: given, actor, at } });
}

function withSpec(object: Delivery, previous: Delivery, spec: Delivery['spec']): Delivery {
  return { ...object, metadata: { ...object.metadata, generation: previous.metadata.generation + 1 }, spec };
}
