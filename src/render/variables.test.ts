import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RenderCluster } from './types.ts';
import { expandVariables } from './variables.ts';

interface Vectors {
  readonly cluster: RenderCluster;
  readonly cases: readonly {
    readonly in: string;
    readonly out?: string;
    readonly error?: string;
    readonly used: readonly string[];
  }[];
}

const vectors = JSON.parse(readFileSync(new URL('testdata/variables.json', import.meta.url), 'utf8')) as Vectors;
const { cluster } = vectors;

test('the answers are those that the module is held to', () => {
  for (const { in: template, out, used } of vectors.cases) {
    const got = expandVariables(template, cluster, { allowFacts: true });
    assert.deepEqual([got.ok ? got.text : undefined, got.used], [out, used], template);
  }
});

test('facts may not choose paths', () => {
  const got = expandVariables('${cluster.facts.version}', cluster, { allowFacts: false });
  assert.ok(!got.ok);
  assert.match(got.message, /facts are reported by the cluster/);
});

test('an unknown variable names itself, the cluster and the way out', () => {
  const got = expandVariables('x/${cluster.labels.tier}', cluster, { allowFacts: false });
  assert.ok(!got.ok);
  assert.equal(
    got.message,
    'variable ${cluster.labels.tier} has no value on cluster "edge-1": the cluster has no label "tier"; write $${ for a literal ${',
  );
});

test('escaping any text gives it back', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('$', '{', '}', 'a', '.', 'cluster.', 'name', '${cluster.name}') }), (text) => {
      // A `$` in front of an escaped brace would be read as part of the escape.
      fc.pre(!text.includes('$${'));
      const got = expandVariables(
        text.replaceAll('${', () => '$${'),
        cluster,
        { allowFacts: true },
      );
      assert.deepEqual(got, { ok: true, text, used: [] });
    }),
  );
});

test('text without ${ is returned as it is, and values never come in as templates', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, value) => {
      fc.pre(!text.includes('${') && !text.endsWith('$'));
      const here = { name: 'c', labels: { v: value }, facts: {} };
      const got = expandVariables(`${text}\${cluster.labels.v}`, here, { allowFacts: false });
      assert.deepEqual(got, { ok: true, text: text + value, used: ['cluster.labels.v'] });
    }),
  );
});
