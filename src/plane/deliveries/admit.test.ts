import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WAIVER_ANNOTATION, type Delivery } from '#api';
import { admitDelivery } from './admit.ts';
import { makeDelivery, NOW } from './testing/make-facts.ts';

const annotated = (delivery: Delivery, value: string): Delivery => ({
  ...delivery,
  metadata: { ...delivery.metadata, annotations: { [WAIVER_ANNOTATION]: value } },
});

test('a waiver is for the wanted bundle, by whoever asked', () => {
  const previous = makeDelivery();
  const admitted = admitDelivery({ object: annotated(previous, 'sha256:1'), previous, actor: 'ann', at: NOW });
  assert.deepEqual(admitted.spec.waiver, { for: 'sha256:1', actor: 'ann', at: NOW });
  assert.equal(admitted.metadata.generation, 2);
  const back = admitDelivery({ object: { ...previous, spec: admitted.spec }, previous: admitted, actor: 'bob', at: NOW });
  assert.equal(back.spec.waiver, undefined);
});

test('a waiver for another bundle is refused, and names the one it would take', () => {
  const previous = makeDelivery();
  assert.throws(
    () => admitDelivery({ object: annotated(previous, 'sha256:2'), previous, actor: 'ann', at: NOW }),
    /a waiver for it now is sha256:1/,
  );
  const retire = { id: 'r1', mode: 'Delete', reason: 'TargetExit', actor: 'a', at: NOW } as const;
  const retiring = makeDelivery({ retire });
  assert.throws(() => admitDelivery({ object: annotated(retiring, 'sha256:1'), previous: retiring, actor: 'ann', at: NOW }));
  const admitted = admitDelivery({ object: annotated(retiring, 'r1'), previous: retiring, actor: 'ann', at: NOW });
  assert.equal(admitted.spec.waiver?.for, 'r1');
});

test('a person cannot say what is wanted, nor write a waiver in another name', () => {
  const previous = makeDelivery();
  const forged = { ...previous, spec: { ...previous.spec, waiver: { for: 'sha256:1', actor: 'root', at: NOW } } };
  assert.throws(() => admitDelivery({ object: forged, previous, actor: 'ann', at: NOW }), { code: 'FL_DELIVERY_SPEC' });
});
