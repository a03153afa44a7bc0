import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conditionOf, type Delivery } from '#api';
import { decide, differenceOf } from './decide.ts';
import type { DeliveryFacts } from './facts.ts';
import {
  makeApplication,
  makeCluster,
  makeDelivery,
  makeFacts,
  makeProject,
  makeReport,
  makeWanted,
  NOW,
} from './testing/make-facts.ts';

function verdict(changes: Partial<DeliveryFacts>): { code: string; ready: string; sentence: string; phase: string } {
  const status = decide(makeFacts(changes));
  const ready = conditionOf({ ...makeDelivery(), status }, 'Ready');
  return {
    code: status.reason?.code ?? '',
    ready: ready?.status ?? '',
    sentence: ready?.message ?? '',
    phase: status.phase ?? '',
  };
}

const failing = {
  code: 'FL_APPLY_INVALID',
  args: { object: 'ConfigMap web/a', file: 'a.yaml', line: 3, words: 'no' },
  since: NOW,
};

test('applied and healthy for the wanted release is ready', () => {
  assert.deepEqual(verdict({}), {
    code: 'FL_READY',
    ready: 'True',
    sentence: 'release web.1 is applied and healthy',
    phase: 'Healthy',
  });
});

test('what an Application sums up of its deliveries is no reason for them', () => {
  const application = makeApplication({
    conditions: [
      {
        type: 'Ready',
        status: 'False',
        reason: 'FL_SOURCE_EMPTY',
        message: 'as a delivery said before',
        lastTransitionTime: NOW,
      },
    ],
  });
  assert.equal(verdict({ application }).code, 'FL_READY');
});

test('each area speaks before the next', () => {
  const broken: Partial<DeliveryFacts> = {
    application: makeApplication({
      reason: { code: 'FL_RENDER_FAILED', args: { file: 'web.yaml', line: 7, message: 'bad indentation' }, since: NOW },
    }),
    source: {
      ...makeApplication(),
      kind: 'GitRepository',
      spec: { url: 'https://git.example.com/fleet.git' },
      status: { reason: { code: 'FL_SOURCE_DENIED', args: { url: 'u', credential: 'c' }, since: NOW } },
    },
    project: makeProject({ clusterSelector: { matchLabels: { env: 'dev' } } }),
    contact: { state: 'lost', lastMs: 0, twins: undefined },
    report: makeReport(1, { phase: 'blocked', reason: failing }),
  };
  const well = makeFacts();
  const order: (keyof DeliveryFacts)[] = ['source', 'application', 'project', 'contact', 'report'];
  const facts = { ...broken };
  const seen: string[] = [];
  for (const part of order) {
    seen.push(verdict(facts).code);
    Object.assign(facts, { [part]: well[part] });
  }
  seen.push(verdict(facts).code);
  assert.deepEqual(seen, [
    'FL_SOURCE_DENIED',
    'FL_RENDER_FAILED',
    'FL_CLAIM_CLUSTER',
    'FL_CONTACT_LOST',
    'FL_APPLY_INVALID',
    'FL_READY',
  ]);
});

test('a source that cannot be read does not change where the cluster stands', () => {
  const application = makeApplication({
    reason: { code: 'FL_SOURCE_UNREACHABLE', args: { url: 'u', words: 'w', retry: 'soon' }, since: NOW },
  });
  assert.equal(verdict({ application }).phase, 'Healthy');
  assert.equal(verdict({ application }).ready, 'False');
});

test('a commit being rendered, or a suspended Application, leaves a healthy Delivery ready', () => {
  const rendering = makeApplication({ reason: { code: 'FL_RENDER_PENDING', args: { commit: 'c' }, since: NOW } });
  assert.equal(verdict({ application: rendering }).ready, 'True');
  const suspended = { ...makeApplication(), spec: { ...makeApplication().spec, suspend: true } };
  assert.equal(verdict({ application: suspended }).ready, 'True');
  const delivery: Delivery = { ...makeDelivery(), spec: { application: 'web', cluster: 'prod-eu' } };
  assert.equal(verdict({ application: suspended, delivery, report: undefined }).code, 'FL_HOLD_SUSPENDED');
});

test('a report about another number or bundle is not about what is wanted', () => {
  assert.equal(verdict({ report: makeReport(2) }).code, 'FL_CONTACT_PENDING');
  assert.equal(verdict({ report: makeReport(1, { bundle: 'sha256:other' }) }).code, 'FL_CONTACT_PENDING');
  assert.equal(
    verdict({ report: makeReport(1, { applied: { release: 'web.0', bundle: 'sha256:0', at: NOW } }) }).code,
    'FL_APPLYING',
  );
});

test('what the agent said counts for nothing once contact is lost', () => {
  const report = makeReport(1, {
    phase: 'blocked',
    reason: { code: 'FL_HOLD_BUDGET', args: { count: 20, total: 40, limit: 10 }, since: NOW },
  });
  assert.equal(verdict({ report }).code, 'FL_HOLD_BUDGET');
  const lost = verdict({ report, contact: { state: 'lost', lastMs: Date.parse(NOW) - 600_000, twins: undefined } });
  assert.equal(lost.ready, 'Unknown');
  assert.equal(lost.sentence.startsWith('prod-eu was last heard of 2026-01-01T11:50:00Z'), true);
});

test('a held deletion names the waiver that would lift it', () => {
  const report = makeReport(1, {
    phase: 'blocked',
    reason: { code: 'FL_HOLD_BUDGET', args: { count: 20, total: 40, limit: 10 }, since: NOW },
  });
  assert.match(
    verdict({ report }).sentence,
    /annotate --overwrite delivery web\.prod-eu -n default fairlead\.dev\/waiver=sha256:1$/,
  );
});

test('a cluster that never joined, or refuses the document, says so', () => {
  const stranger = { ...makeCluster(), status: {} };
  assert.equal(verdict({ cluster: stranger }).code, 'FL_CONTACT_NEVER');
  const { wanted: _nothing, ...waiting } = makeDelivery().spec;
  const delivery = { ...makeDelivery(), spec: waiting };
  assert.equal(
    verdict({ cluster: stranger, delivery, report: undefined }).code,
    'FL_CONTACT_NEVER',
    'nothing can be rendered for it',
  );
  const lane = { agent: [{ code: 'FL_DOCUMENT_SIGNATURE', args: { cluster: 'prod-eu', words: 'unknown key' }, since: NOW }] };
  assert.equal(verdict({ lane, report: undefined }).code, 'FL_CONTACT_REFUSED');
  assert.equal(verdict({ lane }).code, 'FL_READY');
});

test('after a restart the stored verdict on the same release stands until the agent has spoken', () => {
  const ready = decide(makeFacts());
  const restarted = makeFacts({ delivery: makeDelivery({}, ready), lane: undefined, report: undefined });
  assert.equal(differenceOf(ready, decide(restarted)), 'none');
  const moved = makeFacts({
    delivery: makeDelivery({ wanted: makeWanted(2) }, ready),
    lane: undefined,
    report: undefined,
  });
  assert.equal(decide(moved).reason?.code, 'FL_CONTACT_PENDING');
});

test('progress is not a new verdict and keeps its beginning', () => {
  const applying = (applied: number, now: string, status?: Delivery['status']) =>
    decide(
      makeFacts({
        now,
        delivery: makeDelivery({}, status),
        report: makeReport(1, {
          phase: 'applying',
          applied: undefined as never,
          objects: { total: 3, applied, healthy: 0, failed: 0, drifted: 0 },
        }),
      }),
    );
  const first = applying(1, NOW);
  const second = applying(2, '2026-01-01T12:00:05Z', first);
  assert.equal(second.reason?.since, NOW);
  assert.equal(differenceOf(first, second), 'progress');
  const done = decide(makeFacts({ delivery: makeDelivery({}, second), now: '2026-01-01T12:00:09Z' }));
  assert.equal(differenceOf(second, done), 'verdict');
  assert.equal(done.reason?.since, '2026-01-01T12:00:09Z');
});

test('a retirement waits for the agent, and for a person during recovery', () => {
  const retire = { id: 'r1', mode: 'Delete', reason: 'TargetExit', actor: 'ann', at: NOW } as const;
  const delivery = makeDelivery({ retire });
  assert.equal(verdict({ delivery }).code, 'FL_RETIRING');
  const cluster = makeCluster({ recovery: { since: NOW, adopted: { epoch: 1, seq: 9, digest: 'd' } } });
  assert.match(verdict({ delivery, cluster }).sentence, /confirm-recovery=1\.9$/);
  assert.equal(verdict({ cluster }).ready, 'True');
});

test('the journey only goes forward', () => {
  const status = decide(
    makeFacts({ report: makeReport(1, { times: { fetchedAt: '2020-01-01T00:00:00Z', appliedAt: '2099-01-01T00:00:00Z' } }) }),
  );
  const { release, ...times } = status.journey ?? { release: '' };
  assert.equal(release, 'web.1');
  const order = ['committedAt', 'renderedAt', 'releasedAt', 'signedAt', 'fetchedAt', 'appliedAt', 'healthyAt'] as const;
  const given = order.map((station) => Date.parse(times[station] ?? ''));
  assert.deepEqual(
    given,
    given.toSorted((a, b) => a - b),
  );
  assert.equal(given.at(-1), Date.parse(NOW));
});
