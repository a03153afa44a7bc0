import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedCluster } from '#testbed';
import { parseYaml, toJson } from './yaml.ts';

/** One scalar each, as it may stand in a manifest; left out is what kubectl itself turns into an inexact number. */
const SCALARS = [
  'yes',
  'No',
  'on',
  'OFF',
  'y',
  'N',
  'TRUE',
  'tRue',
  '~',
  'null',
  'NULL',
  '"no"',
  "'1'",
  '0777',
  '0o17',
  '0O17',
  '018',
  '0_7',
  '00',
  '-010',
  '0x1f',
  '0X1F',
  '0x_1f',
  '-0x10',
  '0b101',
  '0B1',
  '-0b101',
  '1_000',
  '1__0',
  '1_',
  '12:30',
  '1e3',
  '1E5',
  '1.5e+3',
  '1e',
  '1.',
  '.5',
  '1_0.5',
  '0.0',
  '-0',
  '+5',
  '9223372036854775807',
  '-9223372036854775808',
  '2001-01-01',
  '2001-01-01T00:00:00Z',
  '=',
  '!!str 12',
  '!!int "12"',
  '1.2.3',
  '0.1.0',
  '+1.2',
  '1e3m',
  '500m',
  '1Gi',
  '.',
  '-.',
  '0x',
  '08',
  '1e400',
  '_1',
  '"\\u00e9\\t"',
  '|-\n    a\n    b',
  '>-\n    a\n    b',
  '[a, yes, 1]',
  '{a: 1, b: no}',
];

test('scalars are read as kubectl reads them', async () => {
  const cluster = await sharedCluster('b');
  const lines = SCALARS.map((scalar, i) => `  k${i}: ${scalar}`);
  const document = `apiVersion: example.org/v1\nkind: Sample\nmetadata: {name: x}\nspec:\n${lines.join('\n')}\n`;
  const result = await cluster.kubectl(['annotate', '--local', '-f', '-', 'x=y', '-o', 'json'], { input: document });
  assert.equal(result.exitCode, 0, result.stderr);
  // Numbers by their digits: 1e3 and 1000 are one value to kubectl and to us.
  const spec = (JSON.parse(result.stdout) as { spec: Record<string, unknown> }).spec;
  const ours = (JSON.parse(toJson(parseYaml(document))) as { spec: Record<string, unknown> }).spec;
  const differing = SCALARS.filter((_, i) => JSON.stringify(spec[`k${i}`]) !== JSON.stringify(ours[`k${i}`])).map(
    (scalar) =>
      `${scalar}: kubectl ${JSON.stringify(spec[`k${SCALARS.indexOf(scalar)}`])}, ours ${JSON.stringify(ours[`k${SCALARS.indexOf(scalar)}`])}`,
  );
  assert.deepEqual(differing, []);
});
