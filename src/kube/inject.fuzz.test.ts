import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { codeOf } from '#base';
import { injectMetadata } from './inject.ts';

/** JSON values with the digits of numbers kept as text, so that a lost digit shows. */
type Raw = { readonly number: string } | string | boolean | null | Raw[] | { readonly object: [string, Raw][] };

const numbers = fc.oneof(
  fc.constantFrom(
    '9007199254740993',
    '-9223372036854775808',
    '18446744073709551615',
    '1e400',
    '0.1000000000000000055511',
    '-0',
    '1E+2',
  ),
  fc.integer().map(String),
);
const strings = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('metadata', 'labels', 'annotations', '"', '\\', '__proto__', '}', '{"a":'),
);
// The JSON.parse of V8 13.6 (Node 24.21) reads the key `"` as a backslash if it has met an object with the key backslash in
// its place before; so such keys cannot be checked by reading them back (a test of their own compares the bytes).
const keys = strings.filter((text) => !/["\\]/.test(text));

const { value } = fc.letrec<{ value: Raw; object: Raw }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    numbers.map((number) => ({ number })),
    strings,
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    tie('object'),
  ),
  object: fc.uniqueArray(fc.tuple(keys, tie('value')), { maxLength: 5, selector: ([key]) => key }).map((object) => ({ object })),
}));
const texts = fc.dictionary(keys, strings, { maxKeys: 4 });

function write(raw: Raw, space = ''): string {
  if (raw === null || typeof raw === 'boolean' || typeof raw === 'string') return JSON.stringify(raw);
  if (Array.isArray(raw)) return `[${raw.map((item) => write(item, space)).join(`${space},${space}`)}]`;
  if ('number' in raw) return raw.number;
  return `{${space}${raw.object.map(([key, item]) => `${JSON.stringify(key)}${space}:${space}${write(item, space)}`).join(`,${space}`)}${space}}`;
}

/** Parses with every number as its digits. */
function read(text: string): unknown {
  return JSON.parse(text, function (this: unknown, _key: string, item: unknown, context?: { source?: string }) {
    return typeof item === 'number' ? { digits: context?.source } : item;
  } as (key: string, value: unknown) => unknown);
}

test('injected labels and annotations are there, and everything else keeps its exact value', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(
        fc.tuple(
          keys.filter((k) => k !== 'metadata'),
          value,
        ),
        { maxLength: 4, selector: ([key]) => key },
      ),
      fc.uniqueArray(
        fc.tuple(
          keys.filter((k) => k !== 'labels' && k !== 'annotations'),
          value,
        ),
        { maxLength: 4, selector: ([key]) => key },
      ),
      fc.option(texts),
      fc.option(texts),
      fc.option(fc.nat(3)),
      fc.record({ labels: texts, annotations: texts }),
      fc.constantFrom('', ' ', '\n\t'),
      (top, metadata, labels, annotations, place, add, space) => {
        const inner: [string, Raw][] = [...metadata];
        const asRaw = (map: Record<string, string> | null): Raw => (map === null ? null : { object: Object.entries(map) });
        if (labels !== null) inner.splice(1, 0, ['labels', asRaw(labels)]);
        if (annotations !== null) inner.push(['annotations', asRaw(annotations)]);
        const whole: [string, Raw][] = [...top];
        if (place !== null) whole.splice(place, 0, ['metadata', { object: inner }]);
        const before = write({ object: whole }, space);
        const after = injectMetadata(Buffer.from(before), add).toString('utf8');

        const expected = read(before) as Record<string, unknown>;
        const set = (target: Record<string, unknown>, key: string, to: unknown): void => {
          Object.defineProperty(target, key, { value: to, enumerable: true, configurable: true, writable: true });
        };
        const meta = (Object.hasOwn(expected, 'metadata') ? expected['metadata'] : {}) as Record<string, unknown>;
        for (const field of ['labels', 'annotations'] as const) {
          if (Object.keys(add[field]).length === 0) continue;
          const merged: Record<string, unknown> = { ...(Object.hasOwn(meta, field) ? (meta[field] as object) : {}) };
          for (const [key, text] of Object.entries(add[field])) set(merged, key, text);
          set(meta, field, merged);
        }
        set(expected, 'metadata', meta);
        assert.deepEqual(read(after), expected);
      },
    ),
    { numRuns: 400 },
  );
});

test('keys with quotes and backslashes end where they end', () => {
  const inject = (text: string): string => injectMetadata(Buffer.from(text), { labels: { a: 'b' } }).toString();
  for (const key of ['"', '\\', '\\"', '","metadata":{', 'x\\\\"']) {
    const rest = `${JSON.stringify(key)}:{"metadata":{"labels":{}}}`;
    assert.equal(inject(`{${rest},"metadata":{${rest}}}`), `{${rest},"metadata":{"labels":{"a":"b"},${rest}}}`);
  }
});

test('any bytes give an object or FL_KUBE_BODY, never another error', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\{[{}[\]",:a1\\ ]*$/)), (text) => {
      try {
        injectMetadata(Buffer.from(text), { labels: { a: 'b' } });
      } catch (error) {
        assert.ok(codeOf(error) === 'FL_KUBE_BODY', String(error));
      }
    }),
    { numRuns: 500 },
  );
});

test('an object that could be read in two ways is refused', () => {
  for (const text of [
    '{"metadata":{},"metadata":{"name":"b"}}',
    '{"metadata":{"labels":{},"\\u006cabels":{"x":"y"}}}',
    '{"metadata":[]}',
    '{"metadata":{"labels":{"a":1}}}',
    '{"a":1} {"b":2}',
    '[]',
    '',
  ]) {
    assert.throws(() => injectMetadata(Buffer.from(text), { labels: { a: 'b' } }), { code: 'FL_KUBE_BODY' }, text);
  }
});

test('a namespace is set where none is named, and another one is refused', () => {
  const inject = (text: string): string => injectMetadata(Buffer.from(text), { namespace: 'web' }).toString();
  assert.equal(inject('{"metadata":{"name":"a"}}'), '{"metadata":{"namespace":"web","name":"a"}}');
  assert.equal(inject('{"metadata":{"name":"a","namespace":"web"}}'), '{"metadata":{"name":"a","namespace":"web"}}');
  assert.equal(inject('{"kind":"X"}'), '{"metadata":{"namespace":"web"},"kind":"X"}');
  assert.throws(() => inject('{"metadata":{"namespace":"other"}}'), { code: 'FL_KUBE_BODY' });
});
