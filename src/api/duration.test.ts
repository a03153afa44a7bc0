import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Application, sayDuration, secondsOf } from './index.ts';

test('durations are read and said', () => {
  for (const [text, seconds, said] of [
    ['90s', 90, '1 min 30 s'],
    ['10m', 600, '10 min'],
    ['1h30m', 5400, '1 h 30 min'],
    ['0s', 0, '0 s'],
  ] as const) {
    assert.equal(secondsOf(text), seconds);
    assert.equal(sayDuration(seconds), said);
  }
  for (const text of ['', '5', 'm', '5 m', '-5m', '1.5m', '5ms', '1234567s', '1h1h1h1h'])
    assert.equal(secondsOf(text), undefined, text);
});

test('how long a hook may take is bounded, in the Application and in its targets', () => {
  const app = (hookTimeout: string): Application => ({
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'Application',
    metadata: { name: 'a', namespace: 'default', uid: 'u', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {
      source: { sourceRef: { kind: 'GitRepository', name: 'fleet' } },
      targets: [{ clusterSelector: {}, render: { helm: { hookTimeout } } }],
      render: { helm: { hookTimeout } },
    },
  });
  const fields = (hookTimeout: string): readonly string[] =>
    Application.rules.flatMap((rule) => rule(app(hookTimeout), undefined)).map(({ field }) => field);
  assert.deepEqual(fields('10m'), []);
  assert.deepEqual(fields('24h'), []);
  for (const text of ['0s', '24h1s', '999999h'])
    assert.deepEqual(fields(text), ['spec.render.helm.hookTimeout', 'spec.targets[0].render.helm.hookTimeout'], text);
});
