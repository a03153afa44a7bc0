import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { codeOf } from '#base';
import { keyOf, matchesLabels, type Key, type Requirement } from '#api';
import { valueAt } from '../encode.ts';
import type { FieldRequirement, ListQuery, Store } from '../types.ts';
import { commit, put, remove, widget, Widget, type CreateDatabase, type WidgetParts } from './contract-kit.ts';
import { withStore } from './with-store.ts';

const few = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

const labels = fc.dictionary(few('env', 'region', 'tier'), few('a', 'b', 'c', ''), { maxKeys: 3, noNullPrototype: true });
const parts: fc.Arbitrary<WidgetParts & { readonly name: string }> = fc.record({
  name: few('n1', 'n2', 'n3', 'N4', 'é', 'z.z', 'n-5'),
  namespace: few('default', 'one', 'two'),
  labels,
  spec: fc.record({ cluster: few('a', 'b', '') }, { requiredKeys: [] }),
  status: fc.record({ phase: few('Healthy', 'Blocked') }, { requiredKeys: [] }),
});

const requirement: fc.Arbitrary<Requirement> = fc.oneof(
  fc.record({
    key: few('env', 'region', 'tier', 'none'),
    operator: few('In' as const, 'NotIn' as const),
    values: fc.uniqueArray(few('a', 'b', 'c', ''), { minLength: 1, maxLength: 3 }),
  }),
  fc.record({
    key: few('env', 'region', 'tier', 'none'),
    operator: few('Exists' as const, 'DoesNotExist' as const),
    values: fc.constant([]),
  }),
);

const field: fc.Arbitrary<FieldRequirement> = fc.oneof(
  fc.record({ path: few('spec.cluster'), operator: few('=' as const, '!=' as const), value: few('a', 'b', 'q', '') }),
  fc.record({ path: few('status.phase'), operator: few('=' as const, '!=' as const), value: few('Healthy', 'q', '') }),
  fc.record({ path: few('metadata.name'), operator: few('=' as const, '!=' as const), value: few('n1', 'é', 'q') }),
  fc.record({ path: few('metadata.namespace'), operator: few('=' as const, '!=' as const), value: few('one', 'q') }),
);

const query = fc.record(
  {
    namespace: few('default', 'one', 'nowhere'),
    labels: fc.array(requirement, { maxLength: 3 }),
    fields: fc.array(field, { maxLength: 2 }),
    limit: few(1, 2, 5, 100),
  },
  { requiredKeys: [] },
);

/** Selectors and paging, against a filter over everything. */
export function queryContract(name: string, create: CreateDatabase): void {
  test(`${name}: selectors find what a filter over everything finds, page by page`, () =>
    withStore(create, async (store) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(parts, { maxLength: 15 }),
          fc.array(parts, { maxLength: 5 }),
          query,
          async (first, then, asked) => {
            const model = new Map<string, Widget>();
            await clear(store);
            for (const one of [...first, ...then]) {
              const object = widget(one.name, one);
              model.set(JSON.stringify(keyOf(object)), object);
              await commit(store, { write: [{ op: 'put', kind: Widget, object }] });
            }
            const wanted = [...model.values()].filter((object) => matches(object, asked)).map((object) => keyOf(object));
            wanted.sort((a, b) => bytewise(a.namespace, b.namespace) || bytewise(a.name, b.name));
            assert.deepEqual(await listAll(store, asked), wanted);
          },
        ),
        { numRuns: 120 },
      );
    }));

  test(`${name}: a list longer than a slice is one state of the database`, () =>
    withStore(create, async (store) => {
      const text = 'x'.repeat(2_000);
      for (let from = 0; from < 4_000; from += 500) {
        const write = Array.from({ length: 500 }, (_, n) =>
          put(`n${String(from + n).padStart(5, '0')}`, { spec: { text, size: 0 } }),
        );
        await commit(store, { write });
      }
      const stop = new AbortController();
      // Every commit sets two objects far apart to the same number.
      const writing = (async () => {
        for (let size = 1; !stop.signal.aborted; size++) {
          await commit(store, { write: ['n00000', 'n03999'].map((one) => put(one, { spec: { text, size } })) });
        }
      })();
      for (let round = 0; round < 20; round++) {
        const { items, revision } = await store.list(Widget);
        assert.equal(items.length, 4_000);
        assert.equal(items[0]?.spec.size, items.at(-1)?.spec.size);
        assert.ok(items.every((item) => Number(item.metadata.resourceVersion) <= revision));
      }
      stop.abort();
      await writing;
    }));

  test(`${name}: a field that is not selectable is refused by name`, () =>
    withStore(create, async (store) => {
      await assert.rejects(
        store.list(Widget, { fields: [{ path: 'spec.text', operator: '=', value: 'x' }] }),
        (error) => codeOf(error) === 'FL_STORE_FIELD' && String(error).includes('spec.text'),
      );
    }));

  test(`${name}: a page names where the next one starts`, () =>
    withStore(create, async (store) => {
      await commit(store, { write: ['a', 'b', 'c'].map((one) => put(one)) });
      const page = await store.listText(Widget, { limit: 2 });
      assert.deepEqual(page.next, { namespace: 'default', name: 'b' });
      const rest = await store.listText(Widget, { limit: 2, after: { namespace: 'default', name: 'b' } });
      assert.equal(rest.next, undefined);
      assert.equal(rest.items.length, 1);
      assert.equal((await store.listText(Widget, { limit: 3 })).next, undefined);
    }));
}

function bytewise(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function matches(object: Widget, asked: Partial<ListQuery>): boolean {
  if (asked.namespace !== undefined && object.metadata.namespace !== asked.namespace) return false;
  if (!matchesLabels(asked.labels ?? [], object.metadata.labels ?? {})) return false;
  return (asked.fields ?? []).every(({ path, operator, value }) => (valueAt(object, path) === value) === (operator === '='));
}

async function listAll(store: Store, asked: ListQuery): Promise<Key[]> {
  const found: Key[] = [];
  let after: Key | undefined;
  for (;;) {
    const page = await store.list(Widget, after === undefined ? asked : { ...asked, after });
    found.push(...page.items.map(keyOf));
    if (page.next === undefined) return found;
    after = page.next;
  }
}

async function clear(store: Store): Promise<void> {
  const { items } = await store.list(Widget);
  await commit(store, { write: items.map((item) => remove(item.metadata.name, item.metadata.namespace)) });
}
