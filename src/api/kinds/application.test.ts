import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSION } from '../objects.ts';
import { Application, type FileSource } from './application.ts';

function refusals(files: readonly Partial<FileSource>[]): string[] {
  const application: Application = {
    apiVersion: API_VERSION,
    kind: 'Application',
    metadata: { name: 'web', namespace: 'default', uid: 'u', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {
      source: {
        sourceRef: { kind: 'ChartRepository', name: 'charts' },
        chart: 'web',
        files: files.map((file) => ({ sourceRef: { kind: 'GitRepository', name: 'values' }, at: 'values', ...file })),
      },
    },
  };
  return Application.rules
    .flatMap((rule) => rule(application, undefined))
    .map(({ field, message }) => `${field.replace('spec.source.files', 'files')} ${message}`);
}

test('files of other sources have each a directory of their own, and stay below where they start', () => {
  assert.deepEqual(refusals([{}, { at: 'values-eu' }, { at: 'more/values', path: './envs/', ref: { tag: 'v1' } }]), []);
  const cases: readonly (readonly [readonly Partial<FileSource>[], string])[] = [
    [[{ path: '../secrets' }], 'files[0].path leads out of the source; write a directory below its root'],
    [[{ path: 'a/../../b' }], 'files[0].path leads out of the source; write a directory below its root'],
    [[{ path: '/etc' }], 'files[0].path leads out of the source; write a directory below its root'],
    [[{ path: 'a\\..\\b' }], 'files[0].path leads out of the source; write a directory below its root'],
    [[{ path: 'envs/${cluster.labels.env}' }], 'files[0].path takes no variables; they may be used in render.helm.valueFiles'],
    [[{ at: '../values' }], 'files[0].at leads out of the source; write a directory below its root'],
    [[{ at: './' }], 'files[0].at is the root of the source; name a directory, such as values'],
    [[{ at: '.fairlead/remote' }], 'files[0].at has a part that begins with a dot'],
    [[{}, {}], "files[1].at is another entry's directory, or one in it; give each its own"],
    [[{}, { at: 'values/eu' }], "files[1].at is another entry's directory, or one in it; give each its own"],
    [[{ at: 'values/eu' }, {}], "files[1].at is another entry's directory, or one in it; give each its own"],
    [[{ ref: { branch: 'a', tag: 'b' } }], 'files[0].ref takes one of branch, tag, semver, commit; it has branch and tag'],
  ];
  for (const [files, expected] of cases) assert.deepEqual(refusals(files), [expected]);
});
