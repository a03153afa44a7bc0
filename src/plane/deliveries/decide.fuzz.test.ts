import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { agentPhases, areaOf, conditionOf, isReasonCode, reasonAreas, reasons, type ReasonCode } from '#api';
import { candidatesOf } from './candidates.ts';
import { decide, differenceOf } from './decide.ts';
import type { DeliveryFacts } from './facts.ts';
import {
  makeApplication,
  makeCluster,
  makeDelivery,
  makeFacts,
  makeProject,
  makeRelease,
  makeReport,
  makeWanted,
} from './testing/make-facts.ts';

const codes = Object.keys(reasons) as ReasonCode[];
const instant = fc.integer({ min: 1_700_000_000_000, max: 1_900_000_000_000 }).map((ms) => new Date(ms).toISOString());
const anyReason = fc.record({
  code: fc.oneof(fc.constantFrom<string>(...codes), fc.constant('FL_FROM_THE_FUTURE')),
  args: fc.dictionary(fc.constantFrom('object', 'words', 'cluster', 'applied'), fc.oneof(fc.string(), fc.integer())),
  since: instant,
});
const number = fc.integer({ min: 1, max: 3 });
const count = fc.nat({ max: 5 });
const anyReport = fc
  .record({
    number,
    bundle: fc.constantFrom('sha256:1', 'sha256:2', 'sha256:x'),
    phase: fc.constantFrom(...agentPhases),
    health: fc.constantFrom('healthy' as const, 'progressing' as const, 'degraded' as const, 'unknown' as const),
    applied: fc.option(number, { nil: undefined }),
    objects: fc.record({ total: count, applied: count, healthy: count, failed: count, drifted: count }),
    problems: fc.array(anyReason, { maxLength: 3 }),
    reason: fc.option(anyReason, { nil: undefined }),
    times: fc.record({ fetchedAt: fc.oneof(instant, fc.string()), appliedAt: instant }),
  })
  .map(({ applied, problems, reason, ...rest }) => {
    const { applied: _applied, ...report } = makeReport(rest.number, rest);
    return {
      ...report,
      ...(applied === undefined ? {} : { applied: { release: `web.${applied}`, bundle: `sha256:${applied}`, at: 'then' } }),
      ...(reason === undefined ? {} : { reason }),
      problems: problems.map((one) => ({
        id: { group: '', version: 'v1', kind: 'ConfigMap', namespace: 'web', name: 'a' },
        state: 'failed' as const,
        reason: one,
      })),
    };
  });
const anyFacts: fc.Arbitrary<DeliveryFacts> = fc
  .record({
    wanted: fc.option(number, { nil: undefined }),
    retire: fc.boolean(),
    release: fc.option(number, { nil: undefined }),
    application: fc.option(fc.option(anyReason, { nil: undefined }), { nil: null }),
    project: fc.option(fc.boolean(), { nil: undefined }),
    joined: fc.option(fc.boolean(), { nil: undefined }),
    contact: fc.constantFrom('ok' as const, 'silent' as const, 'lost' as const),
    lane: fc.option(fc.array(anyReason, { maxLength: 2 }), { nil: undefined }),
    report: fc.option(anyReport, { nil: undefined }),
    frozen: fc.boolean(),
    now: instant,
  })
  .map((given) =>
    makeFacts({
      delivery: {
        ...makeDelivery(),
        spec: {
          application: 'web',
          cluster: 'prod-eu',
          ...(given.wanted === undefined ? {} : { wanted: makeWanted(given.wanted) }),
          ...(given.retire ? { retire: { id: 'r', mode: 'Delete', reason: 'TargetExit', actor: 'a', at: given.now } } : {}),
        },
      },
      release: given.release === undefined ? undefined : makeRelease(given.release),
      application:
        given.application === null
          ? undefined
          : makeApplication(given.application === undefined ? {} : { reason: given.application }),
      project: given.project === undefined ? undefined : makeProject(given.project ? {} : { serviceAccount: {} }),
      cluster: given.joined === undefined ? undefined : given.joined ? makeCluster() : { ...makeCluster(), status: {} },
      contact: { state: given.contact, lastMs: 0, twins: undefined },
      lane: given.lane === undefined ? undefined : { agent: given.lane },
      report: given.lane === undefined ? undefined : given.report,
      frozen: given.frozen,
      now: given.now,
    }),
  );

const areaRank = (code: string): number => reasonAreas.indexOf(isReasonCode(code) ? areaOf(code) : 'apply');

test('decide is total and deterministic, and what it says is the first of what holds', () => {
  fc.assert(
    fc.property(anyFacts, (facts) => {
      const status = decide(facts);
      assert.deepEqual(decide(facts), status);
      const candidates = candidatesOf(facts);
      const ranks = candidates.map((one) => areaRank(one.code));
      assert.deepEqual(
        ranks,
        ranks.toSorted((a, b) => a - b),
      );
      assert.equal(status.reason?.code, candidates[0]?.code ?? 'FL_READY');
      for (const condition of status.conditions ?? []) assert.doesNotMatch(condition.message, /undefined|\[object/);
    }),
    { numRuns: 300 },
  );
});

test('nothing is ready unless reported for the wanted number and bundle, in contact', () => {
  fc.assert(
    fc.property(anyFacts, (facts) => {
      const ready = conditionOf({ ...facts.delivery, status: decide(facts) }, 'Ready');
      if (ready?.status !== 'True') return;
      const { wanted } = facts.delivery.spec;
      assert.equal(facts.contact.state === 'lost', false);
      assert.deepEqual(
        [facts.report?.number, facts.report?.bundle, facts.report?.applied?.bundle, facts.report?.health, facts.report?.phase],
        [wanted?.number, wanted?.bundle, wanted?.bundle, 'healthy', 'steady'],
      );
    }),
    { numRuns: 500 },
  );
});

test('since is now or a time known before, and stays while the reason does; deciding again changes nothing', () => {
  fc.assert(
    fc.property(fc.array(anyFacts, { minLength: 2, maxLength: 6 }), (steps) => {
      let status: ReturnType<typeof decide> | undefined;
      for (const step of steps) {
        const delivery = { ...step.delivery, ...(status === undefined ? {} : { status }) };
        const next = decide({ ...step, delivery });
        // Clocks of replicas differ: what is new now is never earlier than what was before it.
        const known = [status?.reason?.since, status?.problem?.since, step.now].filter((one) => one !== undefined);
        assert.ok(known.includes(next.reason?.since ?? ''));
        assert.ok(next.problem === undefined || known.includes(next.problem.since));
        const again = decide({ ...step, delivery: { ...delivery, status: next }, now: '2030-01-01T00:00:00Z' });
        assert.equal(differenceOf(next, again), 'none');
        assert.equal(again.reason?.since, next.reason?.since);
        assert.deepEqual(
          again.conditions?.map((one) => one.lastTransitionTime),
          next.conditions?.map((one) => one.lastTransitionTime),
        );
        status = next;
      }
    }),
    { numRuns: 200 },
  );
});
