import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getIn, isArray, scalarText, type Json, type JsonObject } from '../json.ts';
import { structuralSchema } from '../structural.ts';
import { Widget } from '../testing/widget.ts';
import { applyConfiguration, ApplyConflicts, LAST_APPLIED, trackUpdate, type FieldScope } from './apply.ts';
import { FieldSet, formatFieldPath } from './field-set.ts';
import { fieldTypeOf, objectType } from './schema.ts';
import { FieldTypeError } from './walk.ts';

const properties = structuralSchema(Widget)['properties'] as JsonObject;
const scope: FieldScope = {
  type: objectType({
    spec: fieldTypeOf(properties['spec'] as JsonObject),
    status: fieldTypeOf(properties['status'] as JsonObject),
  }),
  apiVersion: 'fairlead.dev/v1alpha1',
  subresource: '',
  ignored: FieldSet.of(['status']),
};

const widget = (spec: JsonObject, metadata: JsonObject = {}): JsonObject => ({
  apiVersion: 'fairlead.dev/v1alpha1',
  kind: 'Widget',
  metadata: { name: 'w', ...metadata },
  spec,
});

function apply(live: JsonObject | undefined, manager: string, spec: JsonObject, force = false): JsonObject {
  return applyConfiguration(scope, live, widget(spec), { manager, force, time: '2026-01-01T00:00:00Z' });
}

function fieldsOf(object: JsonObject, manager: string): Json | undefined {
  const entries = getIn(object, 'metadata', 'managedFields');
  return isArray(entries)
    ? getIn(
        entries.find((entry) => getIn(entry, 'manager') === manager),
        'fieldsV1',
      )
    : undefined;
}

test('what a manager no longer applies goes, unless another holds it', () => {
  const first = apply(undefined, 'a', { text: 'x', set: ['p', 'q'], free: { k: '1' } });
  const second = apply(first, 'b', { set: ['q', 'r'] });
  const third = apply(second, 'a', { text: 'x' });
  assert.deepEqual(third['spec'], { text: 'x', set: ['q', 'r'] });
  assert.deepEqual(fieldsOf(third, 'a'), { 'f:spec': { 'f:text': {} } });
});

test('a changed value conflicts, an equal one is shared, force takes it', () => {
  const first = apply(undefined, 'a', { text: 'x', number: 1 });
  assert.deepEqual(getIn(apply(first, 'b', { text: 'x' }), 'spec', 'text'), 'x');
  assert.throws(
    () => apply(first, 'b', { text: 'y', number: 1 }),
    (error: unknown) => {
      assert.ok(error instanceof ApplyConflicts);
      assert.deepEqual(
        error.conflicts.map((conflict) => [conflict.printed, formatFieldPath(conflict.path)]),
        [['"a"', '.spec.text']],
      );
      return true;
    },
  );
  const forced = apply(first, 'b', { text: 'y' }, true);
  assert.deepEqual(fieldsOf(forced, 'a'), { 'f:spec': { 'f:number': {} } });
});

test('items of keyed lists are merged by key, with the defaults of keys', () => {
  const first = apply(undefined, 'a', { keyed: [{ name: 'i', value: 'x' }, { name: 'j' }] });
  const second = apply(first, 'b', { keyed: [{ name: 'j', port: 80, value: 'y' }, { name: 'k' }] });
  assert.deepEqual(getIn(second, 'spec', 'keyed'), [
    { name: 'i', value: 'x' },
    { name: 'j', port: 80, value: 'y' },
    { name: 'k' },
  ]);
});

test('updates own what they change, and lose what they remove', () => {
  const made = trackUpdate(scope, undefined, widget({ text: 'x', free: { a: '1' } }), 'tool', '2026-01-01T00:00:00Z');
  assert.deepEqual(fieldsOf(made, 'tool'), { 'f:spec': { '.': {}, 'f:text': {}, 'f:free': { '.': {}, 'f:a': {} } } });
  const { text: _text, ...rest } = made['spec'] as JsonObject;
  const removed = trackUpdate(scope, made, { ...made, spec: rest }, 'other', '2026-01-01T00:00:01Z');
  assert.deepEqual(fieldsOf(removed, 'tool'), { 'f:spec': { '.': {}, 'f:free': { '.': {}, 'f:a': {} } } });
  assert.equal(fieldsOf(removed, 'other'), undefined);
  const reset = trackUpdate(
    scope,
    made,
    { ...made, metadata: { name: 'w', managedFields: [] } },
    'other',
    '2026-01-01T00:00:01Z',
  );
  assert.equal(getIn(reset, 'metadata', 'managedFields'), undefined);
});

test('from client-side to server-side apply with kubectl, its own annotation is proof', () => {
  const applied = JSON.stringify(widget({ text: 'x' }));
  const live = trackUpdate(
    scope,
    undefined,
    widget({ text: 'x' }, { annotations: { [LAST_APPLIED]: applied } }),
    'kubectl-client-side-apply',
    '2026-01-01T00:00:00Z',
  );
  const next = apply(live, 'kubectl', { text: 'y' });
  assert.equal(getIn(next, 'spec', 'text'), 'y');
  assert.match(scalarText(getIn(next, 'metadata', 'annotations', LAST_APPLIED)), /"text":"y"/);
  assert.throws(() => apply(live, 'another', { text: 'y' }), ApplyConflicts);
});

test('a configuration that does not fit its type says where', () => {
  for (const [spec, path] of [
    [{ text: 7 }, '.spec.text'],
    [{ nothing: 1 }, '.spec.nothing'],
    [{ set: ['a', 'a'] }, '.spec.set'],
    [{ keyed: ['x'] }, '.spec.keyed'],
    [{ nested: [] }, '.spec.nested'],
  ] as const) {
    assert.throws(
      () => apply(undefined, 'a', spec),
      (error: unknown) => error instanceof FieldTypeError && error.message.startsWith(path),
      JSON.stringify(spec),
    );
  }
});

test('FieldsV1 survives the way there and back', () => {
  const fields = {
    'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} }, 'f:finalizers': { 'v:"x"': {} } },
    'f:spec': { 'f:keyed': { 'k:{"name":"i","port":80}': { '.': {}, 'f:value': {} } } },
  };
  assert.deepEqual(FieldSet.fromJson(fields).toJson(), fields);
  assert.throws(() => FieldSet.fromJson({ nonsense: {} }), SyntaxError);
});
