import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allKinds } from '#api';

/** By which fields the processes of this schema find objects, of kinds that have any. */
const selectable: Readonly<Record<string, readonly string[]>> = {
  Application: ['spec.source.sourceRef.name'],
  Release: ['spec.application', 'spec.source.commit'],
  Delivery: ['spec.application', 'spec.cluster', 'status.phase'],
  Event: ['spec.involvedObject.name', 'spec.involvedObject.kind', 'spec.involvedObject.uid', 'spec.cluster'],
  JoinToken: ['spec.cluster'],
  AgentIdentity: ['spec.keyId', 'spec.kubeSystemUid'],
};

test('an older process does not write objects that a newer one cannot find', () => {
  const now = Object.fromEntries(
    allKinds.filter((kind) => kind.selectable.length > 0).map((kind) => [kind.kind, kind.selectable]),
  );
  assert.deepEqual(
    now,
    selectable,
    "selectable fields have changed: change the list here; and if the kind was released with others, add the migration { sql: '', stopsOlder: true }",
  );
});
