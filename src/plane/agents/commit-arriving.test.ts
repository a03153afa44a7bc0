import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSION, type Application, type Delivery, type Release } from '#api';
import { isBehind, type Sibling } from './commit-arriving.ts';

type Files = readonly { readonly at: string; readonly commit: string }[];

const metadata = { name: 'b', namespace: 'default', uid: 'u', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' };

function application(commit: string, spec: Partial<Application['spec']> = {}, files: Files = []): Application {
  return {
    apiVersion: API_VERSION,
    kind: 'Application',
    metadata,
    spec: { source: { sourceRef: { kind: 'GitRepository', name: 'fleet' } }, ...spec },
    status: { commit, ...(files.length === 0 ? {} : { files: [...files] }) },
  };
}

function delivery(bundle: string): Delivery {
  const wanted = { release: 'b.1', number: 1, bundle, settings: 's', assignedAt: '2026-01-01T00:00:00Z' };
  return { apiVersion: API_VERSION, kind: 'Delivery', metadata, spec: { application: 'b', cluster: 'eu', wanted } };
}

function release(bundle: string, applicationUid = 'u'): Release {
  // Of a Release, only this is asked.
  return { spec: { applicationUid, bundles: [{ digest: bundle, objects: 1, clusters: ['eu'] }] } } as unknown as Release;
}

test('a Delivery is behind a commit that was not looked at, or whose Release is not assigned', () => {
  const at = { followed: { commit: 'c2', files: [] as Files }, delivery: delivery('old'), newest: undefined };
  const values = { ...at, followed: { commit: 'c2', files: [{ at: 'values', commit: 'v2' }] } };
  const cases: readonly (readonly [Sibling, boolean])[] = [
    [{ ...at, application: application('c1') }, true],
    [{ ...at, application: application('c2') }, false],
    [{ ...at, application: application('c2'), newest: release('new') }, true],
    [{ ...at, application: application('c2'), newest: release('old') }, false],
    // Of its value files a newer commit has not been looked at; then it has.
    [{ ...values, application: application('c2', {}, [{ at: 'values', commit: 'v1' }]) }, true],
    [{ ...values, application: application('c2', {}, [{ at: 'values', commit: 'v2' }]) }, false],
    // Nothing will come of these: nobody waits for them.
    [{ ...at, application: application('c1', { suspend: true }) }, false],
    [{ ...at, application: application('c1'), followed: { commit: undefined, files: [] } }, false],
    [{ ...at, application: application('c2'), newest: release('new', 'another') }, false],
    [
      { ...at, application: { ...application('c1'), metadata: { ...metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } } },
      false,
    ],
  ];
  for (const [index, [sibling, expected]] of cases.entries()) assert.equal(isBehind(sibling), expected, `case ${index}`);
});
