import type { Store, Transaction } from '#plane/store';
import { keyOf, type ObjectOf } from '#api';
import { commit, Gadget, Widget, widget } from '../../store/testing/contract-kit.ts';
import { wakeOn, type Controller, type EffectRunner } from '../types.ts';
import type { KillScenario } from './kill-at-every-step.ts';

type Gadget = ObjectOf<typeof Gadget>;

/** What lies outside: one value per target, and how often it was set. */
export interface SmallWorld {
  readonly applied: Map<string, unknown>;
  runs: number;
}

/**
 * A fleet in small: an app (Widget in `apps`) spreads to `spec.text` targets (Gadgets) in chunks, each target is applied by
 * an effect, and a counter (Widget in `counts`) says how many have been.
 */
export const spread: Controller = {
  name: 'spread',
  wakes: [
    wakeOn(Widget, ({ after }) => (after.metadata.namespace === 'apps' ? [after.metadata.name] : [])),
    wakeOn(Gadget, ({ after }) => [after.spec.cluster ?? '']),
  ],
  async initial(read) {
    return (await read.list(Widget, { namespace: 'apps' })).items.map((item) => item.metadata.name);
  },
  async reconcile(key, { read }) {
    const app = await read.get(Widget, { namespace: 'apps', name: key });
    if (app === undefined) return {};
    const targets = (await read.list(Gadget, { fields: [{ path: 'spec.cluster', operator: '=', value: key }] })).items;
    const chunks: Transaction[] = [];
    const count = Number(app.spec.text);
    for (let n = 0; n < count; n += 2) {
      const names = [n, n + 1].filter((one) => one < count).map((one) => `${key}.${one}`);
      const formers = new Map(targets.map((target) => [target.metadata.name, target]));
      chunks.push({
        // The status is another controller's: without this, an old one would be written back.
        expect: names.map((name) => ({
          kind: Gadget,
          key: { namespace: 'default', name },
          revision: revisionOf(formers.get(name)),
        })),
        write: names.map((name) => ({
          op: 'put',
          kind: Gadget,
          object: { ...gadget(name, key, app.spec.size ?? 0), ...statusOf(formers.get(name)) },
        })),
      });
    }
    const surplus = targets.filter((target) => Number(target.metadata.name.split('.').at(-1)) >= count);
    if (surplus.length > 0)
      chunks.push({ write: surplus.map((target) => ({ op: 'delete' as const, kind: Gadget, key: keyOf(target) })) });
    return { chunks };
  },
};

export const apply: Controller = {
  name: 'apply',
  wakes: [wakeOn(Gadget, ({ after }) => [after.metadata.name])],
  async initial(read) {
    return (await read.list(Gadget)).items.map((item) => item.metadata.name);
  },
  async reconcile(key, { read }) {
    const target = await read.get(Gadget, { namespace: 'default', name: key });
    const phase = `applied-${target?.spec.size}`;
    if (target === undefined || target.status?.phase === phase) return {};
    return {
      commit: {
        expect: [{ kind: Gadget, key: keyOf(target), revision: Number(target.metadata.resourceVersion) }],
        write: [{ op: 'put', kind: Gadget, object: { ...target, status: { phase } } }],
        effects: [{ type: 'apply', key, payload: target.spec.size }],
        audit: { actor: 'apply', verb: 'update', object: `Gadget/default/${key}`, at: '2026-01-01T00:00:00Z' },
      },
    };
  },
};

export const count: Controller = {
  name: 'count',
  wakes: [wakeOn(Gadget, ({ after }) => [after.spec.cluster ?? ''])],
  async initial(read) {
    return (await read.list(Widget, { namespace: 'apps' })).items.map((item) => item.metadata.name);
  },
  async reconcile(key, { read }) {
    const targets = (await read.list(Gadget, { fields: [{ path: 'spec.cluster', operator: '=', value: key }] })).items;
    const size = targets.filter((target) => target.status?.phase === `applied-${target.spec.size}`).length;
    return { commit: { write: [{ op: 'put', kind: Widget, object: widget(key, { namespace: 'counts', spec: { size } }) }] } };
  },
};

export function applyRunner(world: SmallWorld): EffectRunner {
  return {
    type: 'apply',
    async run(effect) {
      world.runs += 1;
      world.applied.set(effect.key, effect.payload);
    },
  };
}

export function setApp(name: string, version: number, targets: number): (store: Store) => Promise<void> {
  return async (store) => {
    const object = widget(name, { namespace: 'apps', spec: { size: version, text: String(targets) } });
    await commit(store, { write: [{ op: 'put', kind: Widget, object }] });
  };
}

export function smallFleet(
  open: () => Promise<Store>,
  stimuli: KillScenario<SmallWorld>['stimuli'] = [setApp('one', 1, 3), setApp('two', 1, 1), setApp('one', 2, 2)],
): KillScenario<SmallWorld> {
  return {
    open,
    world: () => ({ applied: new Map(), runs: 0 }),
    controllers: () => [spread, apply, count],
    effects: (world) => [applyRunner(world)],
    stimuli,
    async verdict(store, world) {
      const objects = [...(await store.list(Widget)).items, ...(await store.list(Gadget)).items];
      return {
        objects: objects.map(({ metadata, spec, status }) => ({ key: keyOf({ metadata }), spec, status })),
        applied: [...world.applied]
          .filter(([key]) => objects.some((object) => object.metadata.name === key))
          .sort(([a], [b]) => (a < b ? -1 : 1)),
        audit: (await store.verifyAudit()).brokenAt,
      };
    },
  };
}

function gadget(name: string, app: string, size: number): Gadget {
  const object = widget(name, { spec: { cluster: app, size } });
  return { ...object, kind: 'Gadget' };
}

function statusOf(former: Gadget | undefined): Pick<Gadget, 'status'> {
  return former?.status === undefined ? {} : { status: former.status };
}

function revisionOf(former: Gadget | undefined): number | 'absent' {
  return former === undefined ? 'absent' : Number(former.metadata.resourceVersion);
}
