import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Compile } from 'typebox/compile';
import { Application, servedKinds } from '#api';
import { get, isArray, isObject, type Json, type JsonObject } from './json.ts';
import { applyDefaults, pruneUnknown, structuralSchema } from './structural.ts';
import { validateSchema } from './validate.ts';

function textsOf({ pattern, format }: JsonObject): fc.Arbitrary<Json> {
  const texts = ['x', '', '30s', 'https://a', 'a'.repeat(40), '2026-01-01T00:00:00Z', '/a'];
  const fits = (text: string): boolean =>
    (typeof pattern !== 'string' || new RegExp(pattern, 'u').test(text)) && (format !== 'date-time' || text.startsWith('2026-'));
  const matching = texts.filter(fits);
  return fc.oneof({ weight: 60, arbitrary: fc.constantFrom(...matching) }, { weight: 1, arbitrary: fc.constantFrom(...texts) });
}

/** Values that fit the schema often and miss it sometimes. */
function valuesOf(schema: JsonObject, depth = 0): fc.Arbitrary<Json> {
  const odd: fc.Arbitrary<Json> = fc.oneof(fc.constant(7), fc.constant('x'), fc.constant(true), fc.constant(1.5));
  const fitting = (): fc.Arbitrary<Json> => {
    const allowed = schema['enum'];
    if (isArray(allowed))
      return fc.oneof(
        { weight: 60, arbitrary: fc.constantFrom(...allowed) },
        { weight: 1, arbitrary: fc.constant<Json>('Other') },
      );
    switch (schema['type']) {
      case 'string':
        return textsOf(schema);
      case 'integer':
        return fc.constantFrom(0, 1, -1, 200);
      case 'boolean':
        return fc.boolean();
      case 'array': {
        const items = schema['items'];
        return fc.array(valuesOf(isObject(items) ? items : {}, depth + 1), { maxLength: 2 });
      }
      default: {
        const properties = get(schema, 'properties');
        const names = isObject(properties) ? Object.keys(properties) : [];
        const required = schema['required'];
        return fc.record(
          Object.fromEntries(names.map((name) => [name, valuesOf((get(properties, name) ?? {}) as JsonObject, depth + 1)])),
          {
            requiredKeys: isArray(required)
              ? required.filter((name): name is string => typeof name === 'string' && depth < 3)
              : [],
          },
        ) as fc.Arbitrary<Json>;
      }
    }
  };
  return fc.oneof({ weight: 150, arbitrary: fitting() }, { weight: 1, arbitrary: odd });
}

test('a spec is valid here exactly when TypeBox finds it so', () => {
  for (const kind of servedKinds) {
    const schema = (structuralSchema(kind)['properties'] as JsonObject)['spec'] as JsonObject;
    const compiled = Compile(kind.specSchema);
    let valid = 0;
    fc.assert(
      fc.property(valuesOf(schema), (value) => {
        const expected = compiled.Check(value);
        if (expected) valid += 1;
        assert.equal(validateSchema(schema, value, 'spec').length === 0, expected, JSON.stringify(value));
      }),
      { numRuns: 100, seed: 1 },
    );
    assert.ok(valid > 0, `no valid ${kind.kind} was made: the test proves nothing`);
  }
});

test('pruning and defaulting twice is doing it once', () => {
  const schema = structuralSchema(Application);
  const spec = (schema['properties'] as JsonObject)['spec'] as JsonObject;
  fc.assert(
    fc.property(valuesOf(spec), (value) => {
      const once = applyDefaults(schema, pruneUnknown(schema, { spec: value }, [])) as JsonObject;
      assert.deepEqual(applyDefaults(schema, pruneUnknown(schema, once, [])), once);
    }),
    { numRuns: 100, seed: 2 },
  );
});

test('unknown fields are named by their paths', () => {
  const unknown: string[] = [];
  const pruned = pruneUnknown(
    structuralSchema(Application),
    { metadata: {}, extra: 1, spec: { targets: [{ plane: { x: 1 } }], sauce: {} } },
    unknown,
  );
  assert.deepEqual(unknown, ['extra', 'spec.sauce', 'spec.targets[0].plane.x']);
  assert.deepEqual(pruned, { metadata: {}, spec: { targets: [{ plane: {} }] } });
});
