import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Application, Delivery, Project, Release } from '#api';
import type { FleetCluster } from '../fleet.ts';
import { aCluster, aDelivery, anApplication, aProject, aRelease, wanted } from '../testing/objects.ts';
import { isTargeted } from '../targets.ts';
import { planAssignment, type Assignment } from './plan-assignment.ts';

const clusterNames = ['a', 'b', 'c'];
const selectors = [undefined, {}, { matchLabels: { env: 'x' } }, { matchLabels: { env: 'y' } }];

type Event =
  | { readonly do: 'label'; readonly cluster: string; readonly env: string }
  | { readonly do: 'cluster'; readonly cluster: string; readonly there: boolean }
  | { readonly do: 'join'; readonly cluster: string; readonly joined: boolean }
  | { readonly do: 'suspend'; readonly cluster: string | undefined; readonly on: boolean }
  | { readonly do: 'targets'; readonly selector: number }
  | { readonly do: 'project'; readonly selector: number; readonly there: boolean }
  | { readonly do: 'release'; readonly content: number }
  | { readonly do: 'acknowledge'; readonly cluster: string }
  | { readonly do: 'adopt'; readonly cluster: string; readonly ahead: number }
  | { readonly do: 'lose-release' };

const cluster = fc.constantFrom(...clusterNames);
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ do: fc.constant('label' as const), cluster, env: fc.constantFrom('x', 'y') }),
  fc.record({ do: fc.constant('cluster' as const), cluster, there: fc.boolean() }),
  fc.record({ do: fc.constant('join' as const), cluster, joined: fc.boolean() }),
  fc.record({ do: fc.constant('suspend' as const), cluster: fc.option(cluster, { nil: undefined }), on: fc.boolean() }),
  fc.record({ do: fc.constant('targets' as const), selector: fc.nat(selectors.length - 1) }),
  fc.record({ do: fc.constant('project' as const), selector: fc.nat(selectors.length - 1), there: fc.boolean() }),
  fc.record({ do: fc.constant('release' as const), content: fc.nat(2) }),
  fc.record({ do: fc.constant('acknowledge' as const), cluster }),
  fc.record({ do: fc.constant('adopt' as const), cluster, ahead: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ do: fc.constant('lose-release' as const) }),
);

/** The world as the rollout controller sees it, and the highest number that each Delivery ever wanted. */
class Model {
  application: Application = anApplication({ targets: [{ clusterSelector: {} }] });
  project: Project | undefined = aProject();
  fleet = new Map<string, FleetCluster>();
  release: Release | undefined;
  deliveries = new Map<string, Delivery>();
  highest = new Map<string, number>();
  number = 0;
  ids = 0;

  happen(e: Event): void {
    const known = 'cluster' in e && e.cluster !== undefined ? this.fleet.get(e.cluster) : undefined;
    const delivery = 'cluster' in e && e.cluster !== undefined ? this.deliveries.get(e.cluster) : undefined;
    switch (e.do) {
      case 'label':
        if (known !== undefined) this.fleet.set(e.cluster, { ...known, labels: { env: e.env } });
        break;
      case 'cluster':
        if (!e.there) this.fleet.delete(e.cluster);
        else if (known === undefined) this.fleet.set(e.cluster, aCluster(e.cluster, { env: 'x' }));
        break;
      case 'join':
        if (known !== undefined) this.fleet.set(e.cluster, { ...known, sealingKey: e.joined ? 'age1x' : undefined });
        break;
      case 'suspend':
        if (e.cluster === undefined)
          this.application = { ...this.application, spec: { ...this.application.spec, suspend: e.on } };
        else if (known !== undefined) this.fleet.set(e.cluster, { ...known, isSuspended: e.on });
        break;
      case 'targets': {
        const selector = selectors[e.selector];
        this.application = anApplication({ targets: selector === undefined ? [] : [{ clusterSelector: selector }] });
        break;
      }
      case 'project': {
        const selector = selectors[e.selector];
        this.project = e.there ? aProject(selector === undefined ? {} : { clusterSelector: selector }) : undefined;
        break;
      }
      case 'release': {
        // As the release controller does it: above every number seen, for joined clusters that are targeted.
        this.number = Math.max(this.number, ...[...this.deliveries.values()].map((d) => d.spec.wanted?.number ?? 0)) + 1;
        const members = [...this.fleet.values()].filter(
          (c) => c.sealingKey !== undefined && isTargeted(this.application, c.labels),
        );
        this.release = aRelease(this.number, Object.fromEntries(members.map((c) => [c.name, `d${e.content}`])));
        break;
      }
      case 'acknowledge':
        // As the deliveries room does it: what let go is gone.
        if (delivery?.spec.retire !== undefined) this.deliveries.delete(e.cluster);
        break;
      case 'adopt': {
        // A restored plane learns what an agent holds.
        const number = this.number + e.ahead;
        if (delivery !== undefined)
          this.deliveries.set(e.cluster, { ...delivery, spec: { ...delivery.spec, wanted: wanted(number, 'adopted') } });
        break;
      }
      case 'lose-release':
        this.release = undefined;
        break;
    }
    for (const [name, d] of this.deliveries) this.note(name, d);
  }

  note(name: string, delivery: Delivery): void {
    const number = delivery.spec.wanted?.number;
    if (number !== undefined) this.highest.set(name, Math.max(number, this.highest.get(name) ?? 0));
  }

  plan(): readonly Assignment[] {
    return planAssignment({
      application: this.application,
      project: this.project,
      release: this.release,
      fleet: [...this.fleet.values()],
      deliveries: [...this.deliveries.values()],
      nowMs: 0,
      newId: () => `id-${(this.ids += 1)}`,
      actor: 'test',
    });
  }

  apply(plan: readonly Assignment[]): void {
    for (const one of plan) {
      const name = one.do === 'create' ? one.cluster : one.delivery.spec.cluster;
      const before = this.deliveries.get(name);
      if (one.do === 'drop') {
        assert.ok(
          !this.fleet.has(name) || before?.spec.wanted === undefined,
          `${name}: what something is delivered to is not dropped`,
        );
        this.deliveries.delete(name);
        continue;
      }
      if (one.do === 'create') assert.equal(before, undefined, `${name} is there already`);
      const retire = one.do === 'update' ? one.retire : undefined;
      if (one.wanted !== undefined && before?.spec.wanted !== undefined) {
        assert.ok(
          one.wanted.number >= before.spec.wanted.number,
          `${name} went back from ${before.spec.wanted.number} to ${one.wanted.number}`,
        );
      }
      if (before?.spec.wanted !== undefined) assert.ok(one.wanted !== undefined, `${name} lost what it wanted`);
      if (retire !== undefined && before?.spec.retire === undefined) {
        const labels = this.fleet.get(name)?.labels;
        assert.ok(labels !== undefined && !isTargeted(this.application, labels), `${name} is told to let go without evidence`);
        assert.ok(this.project !== undefined, 'nothing is retired for want of a Project');
      }
      const spec = {
        ...(one.wanted === undefined ? {} : { wanted: one.wanted }),
        ...(retire === undefined ? {} : { retire }),
      };
      const next = aDelivery(name, spec);
      this.deliveries.set(name, next);
      this.note(name, next);
    }
  }
}

test('numbers never go back, nobody is told to let go without evidence, and what is planned settles at once', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const model = new Model();
      for (const name of clusterNames) model.fleet.set(name, aCluster(name, { env: 'x' }));
      for (const e of events) {
        model.happen(e);
        model.apply(model.plan());
        assert.deepEqual(model.plan(), [], 'a second look finds nothing to do');
      }
    }),
    { numRuns: 400 },
  );
});

test('when everything is in order, everybody wants the newest content', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 25 }), (events) => {
      const model = new Model();
      for (const name of clusterNames) model.fleet.set(name, aCluster(name, { env: 'x' }));
      for (const e of events) {
        model.happen(e);
        model.apply(model.plan());
      }
      model.project = aProject();
      model.application = anApplication({ targets: [{ clusterSelector: {} }] });
      for (const name of clusterNames) model.fleet.set(name, aCluster(name, { env: 'x' }));
      model.happen({ do: 'release', content: 1 });
      model.apply(model.plan());
      for (const name of clusterNames) {
        const spec = model.deliveries.get(name)?.spec;
        assert.equal(spec?.wanted?.bundle, 'd1');
        assert.equal(spec.retire, undefined);
      }
    }),
    { numRuns: 200 },
  );
});
