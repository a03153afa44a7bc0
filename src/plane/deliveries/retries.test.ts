import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { conditionOf, type Delivery, type DeliveryReport } from '#api';
import { decide, differenceOf } from './decide.ts';
import type { DeliveryFacts } from './facts.ts';
import { makeDelivery, makeFacts, makeReport, makeWanted } from './testing/make-facts.ts';
import { verdictEvent } from './verdict-event.ts';

const START = Date.parse('2026-01-01T12:00:00Z');
const objects = (applied: number, failed = 0): DeliveryReport['objects'] => ({
  total: 3,
  applied,
  healthy: 0,
  failed,
  drifted: 0,
});
const before = { release: 'web.0', bundle: 'sha256:0', at: '2026-01-01T10:00:00Z' };

function refused(object = 'a', words = 'no', number = 1, bundle?: string): DeliveryReport {
  const reason = { code: 'FL_APPLY_INVALID', args: { object: `ConfigMap web/${object}`, words }, since: '2026-01-01T12:00:00Z' };
  return makeReport(number, {
    phase: 'blocked',
    health: 'degraded',
    applied: before,
    objects: objects(2, 1),
    reason,
    ...(bundle === undefined ? {} : { bundle }),
  });
}

function underWay(phase: 'fetching' | 'planning' | 'applying', applied: number, number = 1): DeliveryReport {
  const reason = { code: 'FL_APPLYING', args: { release: `web.${number}`, applied, total: 3 }, since: '2026-01-01T12:00:00Z' };
  return makeReport(number, {
    phase,
    health: 'progressing',
    applied: before,
    objects: objects(applied),
    ...(phase === 'applying' ? { reason } : {}),
  });
}

/** One Delivery as its verdicts are stored, a minute between two. */
class Life {
  delivery: Delivery = makeDelivery();
  nowMs = START;
  readonly events: string[] = [];
  writes = 0;

  tell(changes: Partial<DeliveryFacts>, wanted?: Delivery['spec']['wanted']): string {
    this.nowMs += 60_000;
    if (wanted !== undefined) {
      const { metadata } = this.delivery;
      this.delivery = {
        ...this.delivery,
        metadata: { ...metadata, generation: metadata.generation + 1 },
        spec: { ...this.delivery.spec, wanted },
      };
    }
    const status = decide(makeFacts({ ...changes, delivery: this.delivery, now: new Date(this.nowMs).toISOString() }));
    const event = verdictEvent(this.delivery, status, this.nowMs, () => 'e');
    if (event !== undefined) this.events.push(`${event.spec.type} ${event.spec.code}`);
    if (differenceOf(this.delivery.status, status) === 'none') return this.said;
    this.writes += 1;
    this.delivery = { ...this.delivery, status };
    return this.said;
  }

  /** Code, and the minute since when. */
  get said(): string {
    const { code = '', since = '' } = this.delivery.status?.reason ?? {};
    return `${code} ${(Date.parse(since) - START) / 60_000}`;
  }
}

test('a retry that fails the same way moves no time, writes no verdict and is no event', () => {
  const life = new Life();
  assert.equal(life.tell({ report: underWay('applying', 0) }), 'FL_APPLYING 1');
  assert.equal(life.tell({ report: refused() }), 'FL_APPLY_INVALID 2');
  const { writes } = life;
  for (let round = 0; round < 3; round += 1) {
    for (const phase of ['fetching', 'planning', 'applying'] as const)
      assert.equal(life.tell({ report: underWay(phase, 2) }), 'FL_APPLY_INVALID 2');
    assert.equal(life.tell({ report: refused() }), 'FL_APPLY_INVALID 2');
  }
  assert.equal(life.writes, writes);
  life.tell({ report: refused('a', 'no, and in other words') });
  assert.equal(life.said, 'FL_APPLY_INVALID 2');
  assert.match(conditionOf(life.delivery, 'Ready')?.message ?? '', /other words/);
  assert.deepEqual(life.events, ['Warning FL_APPLY_INVALID']);
});

test('a retry that comes further shows; what is refused again stands since it was first', () => {
  const life = new Life();
  life.tell({ report: refused() });
  assert.equal(life.tell({ report: underWay('applying', 3) }), 'FL_APPLYING 2');
  const hook = { code: 'FL_HOOK_RUNNING', args: { object: 'Job web/h' }, since: '2026-01-01T12:00:00Z' };
  assert.equal(life.tell({ report: { ...underWay('applying', 0), reason: hook } }), 'FL_HOOK_RUNNING 3');
  assert.equal(life.tell({ report: refused() }), 'FL_APPLY_INVALID 1');
  // Of another one nothing was known.
  assert.equal(life.tell({ report: refused('b') }), 'FL_APPLY_INVALID 5');
  assert.equal(life.tell({}), 'FL_READY 6');
  assert.equal(life.tell({ report: refused('b') }), 'FL_APPLY_INVALID 7');
  assert.deepEqual(life.events, [
    'Warning FL_APPLY_INVALID',
    'Warning FL_APPLY_INVALID',
    'Normal FL_READY',
    'Warning FL_APPLY_INVALID',
  ]);
});

test('a plane that starts again, an agent that does, and a lost contact in between leave the time as it is', () => {
  const life = new Life();
  life.tell({ report: refused() });
  assert.equal(life.tell({ lane: undefined, report: undefined }), 'FL_APPLY_INVALID 1');
  life.tell({ report: undefined });
  assert.equal(life.tell({ report: underWay('fetching', 0) }), 'FL_CONTACT_PENDING 3');
  assert.equal(life.tell({ report: refused() }), 'FL_APPLY_INVALID 1');
  const lost = { contact: { state: 'lost', lastMs: START, twins: undefined } } as const;
  assert.equal(life.tell({ ...lost, report: refused() }), 'FL_CONTACT_LOST 6');
  assert.equal(life.tell({ report: refused() }), 'FL_APPLY_INVALID 1');
  assert.deepEqual(life.events, ['Warning FL_APPLY_INVALID', 'Warning FL_CONTACT_LOST']);
});

test('becoming ready after a lost contact is told, being on the way there is not', () => {
  const life = new Life();
  life.tell({});
  life.tell({ contact: { state: 'lost', lastMs: START, twins: undefined } });
  life.tell({ report: underWay('applying', 1) });
  life.tell({});
  assert.deepEqual(life.events, ['Warning FL_CONTACT_LOST', 'Normal FL_READY']);
});

test('another content that is refused the same way is refused anew; the same content under another number is not', () => {
  const life = new Life();
  life.tell({ report: refused() });
  const same = { ...makeWanted(2), bundle: 'sha256:1' };
  assert.equal(life.tell({ report: refused('a', 'no', 2, 'sha256:1') }, same), 'FL_APPLY_INVALID 1');
  assert.equal(life.tell({ report: undefined }, makeWanted(3)), 'FL_CONTACT_PENDING 3');
  assert.equal(life.tell({ report: refused('a', 'no', 3) }), 'FL_APPLY_INVALID 4');
  assert.deepEqual(life.events, ['Warning FL_APPLY_INVALID', 'Warning FL_APPLY_INVALID']);
});

test('a waiver ends what it lifts at once', () => {
  const life = new Life();
  const held = { code: 'FL_HOLD_BUDGET', args: { count: 20, total: 40, limit: 10 }, since: '2026-01-01T12:00:00Z' };
  life.tell({ report: { ...refused(), reason: held, objects: objects(3) } });
  const { metadata, spec } = life.delivery;
  const waiver = { for: 'sha256:1', actor: 'ann', at: '2026-01-01T12:01:00Z' };
  life.delivery = { ...life.delivery, metadata: { ...metadata, generation: 2 }, spec: { ...spec, waiver } };
  assert.equal(life.tell({ report: { ...underWay('applying', 3), phase: 'pruning' } }), 'FL_APPLYING 2');
});

test('whatever comes between, the same refusal of the same content stands since it began', () => {
  const step = fc.oneof(
    fc.record({ is: fc.constant('refused' as const), object: fc.constantFrom('a', 'b'), words: fc.constantFrom('no', 'never') }),
    fc.record({
      is: fc.constant('under way' as const),
      phase: fc.constantFrom('fetching', 'planning', 'applying' as const),
      applied: fc.nat({ max: 3 }),
    }),
    fc.constantFrom({ is: 'restart' as const }, { is: 'lost' as const }, { is: 'silent' as const }),
    fc.constantFrom({ is: 'ready' as const }, { is: 'released' as const }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const life = new Life();
      let number = 1;
      let standing: { readonly object: string; readonly minute: number } | undefined;
      let refusals = 0;
      for (const [index, one] of steps.entries()) {
        const minute = index + 1;
        switch (one.is) {
          case 'refused':
            if (standing?.object !== one.object) {
              standing = { object: one.object, minute };
              refusals += 1;
            }
            assert.equal(life.tell({ report: refused(one.object, one.words, number) }), `FL_APPLY_INVALID ${standing.minute}`);
            break;
          case 'under way':
            life.tell({ report: underWay(one.phase, one.applied, number) });
            break;
          case 'restart':
            life.tell({ lane: undefined, report: undefined });
            break;
          case 'silent':
            life.tell({ report: undefined });
            break;
          case 'lost':
            assert.match(life.tell({ contact: { state: 'lost', lastMs: START, twins: undefined } }), /^FL_CONTACT_LOST/);
            break;
          case 'ready':
            life.tell({ report: makeReport(number) });
            standing = undefined;
            break;
          case 'released':
            number += 1;
            life.tell({ report: undefined }, makeWanted(number));
            standing = undefined;
        }
      }
      assert.equal(life.events.filter((one) => one === 'Warning FL_APPLY_INVALID').length, refusals);
    }),
    { numRuns: 300 },
  );
});
