import { rfc3339, type NewId } from '#base';
import { Application, Delivery, keyOf, RenderRow, type Retirement } from '#api';
import type { Transaction, Write } from '#plane/store';
import { asRead, withSpec } from './new-object.ts';
import { DELIVERIES_FINALIZER } from './names.ts';

/** Writes per transaction: small enough that a Delivery that changed meanwhile repeats little. */
export const DELIVERIES_PER_CHUNK = 200;

/**
 * What the deletion of an Application means for its Deliveries: each is told to let go, in the mode of this moment; one that
 * never had anything is deleted. The finalizer goes with the last of it; nobody waits for a cluster. Pure.
 */
export function planRetirement(
  application: Application,
  deliveries: readonly Delivery[],
  made: { readonly nowMs: number; readonly newId: NewId; readonly actor: string },
): readonly Transaction[] {
  const retire = (): Retirement => ({
    id: made.newId(),
    mode: application.spec.deletionPolicy ?? 'Orphan',
    reason: 'ApplicationDeleted',
    actor: made.actor,
    at: rfc3339(made.nowMs),
  });
  const writes: { readonly delivery: Delivery; readonly write: Write }[] = [];
  for (const delivery of deliveries) {
    const { spec } = delivery;
    if (spec.retire?.reason === 'ApplicationDeleted') continue;
    const write: Write =
      spec.wanted === undefined && spec.retire === undefined
        ? { op: 'delete', kind: Delivery, key: keyOf(delivery) }
        : { op: 'put', kind: Delivery, object: withSpec(delivery, { ...spec, retire: retire() }) };
    writes.push({ delivery, write });
  }
  const chunks: Transaction[] = [];
  for (let at = 0; at < writes.length; at += DELIVERIES_PER_CHUNK) {
    const part = writes.slice(at, at + DELIVERIES_PER_CHUNK);
    chunks.push({ expect: part.map(({ delivery }) => asRead(Delivery, delivery)), write: part.map(({ write }) => write) });
  }
  const key = keyOf(application);
  const finalizers = (application.metadata.finalizers ?? []).filter((finalizer) => finalizer !== DELIVERIES_FINALIZER);
  const last: Write =
    finalizers.length === 0
      ? { op: 'delete', kind: Application, key }
      : { op: 'put', kind: Application, object: { ...application, metadata: { ...application.metadata, finalizers } } };
  return [...chunks, { expect: [asRead(Application, application)], write: [last, { op: 'delete', kind: RenderRow, key }] }];
}
