import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSION, conditionOf, CONFIRM_RECOVERY_ANNOTATION, type Cluster } from '#api';
import { decideCluster, urgencyOf, type ClusterFacts } from './decide-cluster.ts';

const now = '2026-01-01T00:00:00Z';

function cluster(status: Cluster['status'] = {}, annotations: Readonly<Record<string, string>> = {}): Cluster {
  return {
    apiVersion: API_VERSION,
    kind: 'Cluster',
    metadata: { name: 'prod', uid: 'u', generation: 1, creationTimestamp: now, annotations },
    spec: {},
    status: { agent: { version: '1', capability: 1, joinedAt: now, keyId: 'k' }, ...status },
  };
}

function facts(changes: Partial<ClusterFacts> = {}): ClusterFacts {
  return {
    cluster: cluster(),
    contact: { state: 'ok', lastMs: 0, twins: undefined },
    lane: { agent: [], held: undefined },
    deliveries: { total: 2, ready: 2 },
    desired: { epoch: 1, seq: 4, digest: 'd' },
    now,
    ...changes,
  };
}

function ready(changes: Partial<ClusterFacts>): string {
  const given = facts(changes);
  const condition = conditionOf({ ...given.cluster, status: decideCluster(given) }, 'Ready');
  return `${condition?.status} ${condition?.reason}`;
}

test('what keeps a cluster from being ready, in its order', () => {
  const adopted = { epoch: 1, seq: 9, digest: 'x' };
  const recovering = cluster({ recovery: { since: now, adopted } });
  assert.equal(ready({}), 'True FL_CLUSTER_READY');
  assert.equal(ready({ deliveries: { total: 2, ready: 1 } }), 'False FL_CLUSTER_DELIVERIES');
  const agent = [{ code: 'FL_DOCUMENT_CRITICAL', args: { features: ['x'] }, since: now }];
  assert.equal(ready({ lane: { agent, held: undefined } }), 'False FL_CONTACT_REFUSED');
  const twins = { holder: 'a', other: 'b' };
  assert.equal(ready({ contact: { state: 'ok', lastMs: 0, twins } }), 'False FL_CONTACT_TWIN');
  assert.equal(ready({ contact: { state: 'lost', lastMs: 0, twins } }), 'Unknown FL_CONTACT_LOST');
  assert.equal(ready({ cluster: recovering, contact: { state: 'lost', lastMs: 0, twins } }), 'False FL_HOLD_RECOVERY');
  const { agent: _none, ...unjoined } = recovering.status ?? {};
  assert.equal(ready({ cluster: { ...recovering, status: unjoined } }), 'False FL_CONTACT_NEVER');
});

test('a confirmation ends exactly the recovery it names', () => {
  const recovery = { since: now, adopted: { epoch: 1, seq: 9, digest: 'x' } };
  const confirmed = (position: string) => cluster({ recovery }, { [CONFIRM_RECOVERY_ANNOTATION]: position });
  assert.ok(decideCluster(facts({ cluster: confirmed('1.8') })).recovery);
  assert.equal(decideCluster(facts({ cluster: confirmed('1.9') })).recovery, undefined);
});

test('contact is worth a write at once, counts soon, positions later, the same never', () => {
  const before = decideCluster(facts());
  const after = (changes: Partial<ClusterFacts>) => decideCluster(facts({ cluster: cluster(before), ...changes }));
  assert.equal(urgencyOf(undefined, before), 'now');
  assert.equal(urgencyOf(before, after({ now: '2027-01-01T00:00:00Z' })), 'none');
  assert.equal(urgencyOf(before, after({ desired: { epoch: 1, seq: 5, digest: 'e' } })), 'positions');
  assert.equal(urgencyOf(before, after({ deliveries: { total: 2, ready: 1 } })), 'counts');
  assert.equal(urgencyOf(before, after({ deliveries: { total: 3, ready: 3 } })), 'counts');
  assert.equal(urgencyOf(before, after({ contact: { state: 'lost', lastMs: 0, twins: undefined } })), 'now');
});

test('while the agent has not spoken to a plane that just started, what it said before stands', () => {
  const lane = { agent: [{ code: 'FL_CONTACT_WRONG_CLUSTER', args: { found: 'a', wanted: 'b' }, since: now }], held: undefined };
  const said = decideCluster(facts({ lane }));
  const later = decideCluster(
    facts({ cluster: cluster(said), lane: undefined, contact: { state: 'silent', lastMs: 0, twins: undefined } }),
  );
  assert.equal(urgencyOf(said, later), 'none');
  assert.equal(decideCluster(facts({ cluster: cluster(said) })).reason?.code, 'FL_CLUSTER_READY');
});
