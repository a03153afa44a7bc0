import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatYaml, parseYaml, parseYamlAll, toJson } from './yaml.ts';

test('scalars are read as the Kubernetes tools read them', () => {
  const text = [
    'a: yes',
    'b: 0777',
    'c: 1e3',
    'd: 9223372036854775807',
    'e: 1_000',
    'f: 12:30',
    'g: 2001-01-01',
    'h: ~',
    'i: x',
    'j: "no"',
    'k: 018',
    'l: 0x1f',
    'm: -0',
    'o: off',
  ];
  assert.deepEqual(parseYaml(text.join('\n')), {
    a: true,
    b: 511,
    c: 1000,
    d: 9223372036854775807n,
    e: 1000,
    f: '12:30',
    g: '2001-01-01',
    h: null,
    i: 'x',
    j: 'no',
    k: 18,
    l: 31,
    m: 0,
    o: false,
  });
  assert.equal(toJson(parseYaml('a: 9223372036854775807')), '{"a":9223372036854775807}');
});

test('merge keys work and documents without content are left out', () => {
  assert.deepEqual(parseYamlAll('---\nbase: &b {x: 1}\nuse: {<<: *b, z: 2}\n---\n---\n# nothing\n'), [
    { base: { x: 1 }, use: { x: 1, z: 2 } },
  ]);
});

test('what is dangerous or ambiguous is refused, and the text never appears in the error', () => {
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${Array.from(
    'bcdefgh',
    (c, i) =>
      `${c}: &${c} [${Array(9)
        .fill(`*${'abcdefg'[i] ?? ''}`)
        .join(',')}]`,
  ).join('\n')}`;
  for (const [text, code] of [
    ['a: 1\na: 2', 'FL_YAML_INVALID'],
    ['a: !!js/function hunter2', 'FL_YAML_INVALID'],
    ['a: .inf', 'FL_YAML_INVALID'],
    ['a: "hunter2', 'FL_YAML_INVALID'],
    [`${'['.repeat(200)}${']'.repeat(200)}`, 'FL_YAML_INVALID'],
    [bomb, 'FL_YAML_TOO_LARGE'],
  ] as const) {
    assert.throws(
      () => parseYamlAll(text, { what: 'file x.yaml' }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, code, `${text.slice(0, 40)}: ${error.message}`);
        assert.match(error.message, /^file x\.yaml /);
        assert.doesNotMatch(error.message, /hunter2"?$/);
        return true;
      },
    );
  }
  assert.throws(() => parseYaml('x'.repeat(100), { maxBytes: 10 }), { code: 'FL_YAML_TOO_LARGE' });
});

test('what is written reads back the same', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      const json = JSON.parse(JSON.stringify(value)) as unknown;
      // Beyond 2^53 a bigint is read, of the same digits.
      assert.deepEqual(JSON.parse(toJson(parseYaml(formatYaml(json)))), json);
    }),
    { numRuns: 200 },
  );
  assert.match(
    formatYaml({ spec: {}, kind: 'X', apiVersion: 'v1', a: 'yes', b: 9223372036854775807n }),
    /^apiVersion: v1\nkind: X\nspec: \{\}\na: ['"]yes['"]\nb: 9223372036854775807\n$/,
  );
});
