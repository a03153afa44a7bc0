import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSION, reason, say, type Delivery, type ReasonArgs } from '#api';
import type { DeliveryStatus } from './decide.ts';
import { verdictEvent } from './verdict-event.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');

function stalledBy(args: ReasonArgs): DeliveryStatus {
  const given = reason('FL_APPLY_INVALID', { cluster: 'eu', ...args }, '2026-01-01T00:00:00Z');
  const stalled = {
    type: 'Stalled',
    status: 'True' as const,
    lastTransitionTime: '2026-01-01T00:00:00Z',
    reason: given.code,
    message: say(given),
  };
  return { reason: { ...given, args: { ...given.args } }, conditions: [stalled] };
}

function eventAfter(before: DeliveryStatus, next: DeliveryStatus): string | undefined {
  const delivery: Delivery = {
    apiVersion: API_VERSION,
    kind: 'Delivery',
    metadata: { name: 'web.eu', namespace: 'default', uid: 'u', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { application: 'web', cluster: 'eu' },
    status: before,
  };
  return verdictEvent(delivery, next, NOW, () => 'e')?.spec.message;
}

test('being stalled by another object is an event of its own; the same in other words is not', () => {
  const one = stalledBy({ object: 'ConfigMap x/one', file: 'a.yaml', line: '1', words: 'no' });
  const other = stalledBy({ object: 'ConfigMap x/other', file: 'a.yaml', line: '9', words: 'no' });
  assert.match(eventAfter({}, one) ?? '', /^ConfigMap x\/one /);
  assert.match(eventAfter(one, other) ?? '', /^ConfigMap x\/other /);
  assert.equal(
    eventAfter(one, stalledBy({ object: 'ConfigMap x/one', file: 'a.yaml', line: '1', words: 'no, again' })),
    undefined,
  );
});
