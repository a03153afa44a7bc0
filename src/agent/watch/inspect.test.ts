import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '#kube';
import { inspect, inspectStripped } from './inspect.ts';

const KEY = '/ConfigMap/web/one';

function live(metadata: Partial<KubeObject['metadata']>): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'one', namespace: 'web', ...metadata } };
}

const bystander = {
  manager: 'some-operator',
  operation: 'Update' as const,
  apiVersion: 'v1',
  time: '2026-01-01T00:00:00Z',
  fieldsV1: { 'f:metadata': { 'f:annotations': { 'f:example.com/note': {} } } },
};

test('a mark that was taken away names nobody: a bystander is not blamed', () => {
  const annotations = { 'fairlead.dev/object': KEY, 'example.com/note': 'x' };
  assert.deepEqual(inspectStripped(live({ annotations, managedFields: [bystander] }), 'owner', KEY), {
    kind: 'stripped',
    fields: ['.metadata.labels["fairlead.dev/owner"]'],
    manager: '',
    at: '',
  });
});

test('a mark that was overwritten names who did it', () => {
  const editor = {
    manager: 'kubectl-label',
    operation: 'Update' as const,
    apiVersion: 'v1',
    time: '2026-01-01T00:00:05Z',
    fieldsV1: { 'f:metadata': { 'f:labels': { 'f:fairlead.dev/owner': {} } } },
  };
  const seen = inspectStripped(
    live({
      labels: { 'fairlead.dev/owner': 'other' },
      annotations: { 'fairlead.dev/object': KEY },
      managedFields: [bystander, editor],
    }),
    'owner',
    KEY,
  );
  assert.deepEqual(
    [seen.manager, seen.at, seen.fields],
    ['kubectl-label', '2026-01-01T00:00:05Z', ['.metadata.labels["fairlead.dev/owner"]']],
  );
});

test('a value that was changed away and back is as wanted, only not ours any more', () => {
  const annotations = { 'fairlead.dev/object': KEY };
  const metadata = { name: 'one', namespace: 'web', annotations };
  const wanted = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { key: 'value' } };
  const held = { 'f:metadata': { 'f:annotations': { 'f:fairlead.dev/object': {} } } };
  const written = (value: string): KubeObject => ({
    ...live({
      annotations,
      managedFields: [
        { manager: 'fairlead', operation: 'Apply', apiVersion: 'v1', fieldsType: 'FieldsV1', fieldsV1: held },
        { ...bystander, manager: 'kubectl-edit', fieldsV1: { 'f:data': { 'f:key': {} } } },
      ],
    }),
    data: { key: value },
  });
  assert.equal(inspect(written('value'), wanted, []).drift?.kind, 'unowned');
  assert.equal(inspect(written('by hand'), wanted, []).drift?.kind, 'changed');
});

test('what a controller fills in for a placeholder of Git is its own, without drift or conflict', () => {
  const roles = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'all' } };
  const aggregationRule = { clusterRoleSelectors: [{ matchLabels: { of: 'all' } }] };
  const filled = (manager: string): KubeObject => ({
    ...roles,
    metadata: {
      name: 'all',
      managedFields: [
        {
          manager: 'fairlead',
          operation: 'Apply',
          apiVersion: roles.apiVersion,
          fieldsV1: { 'f:aggregationRule': { 'f:clusterRoleSelectors': {} } },
        },
        { manager, operation: 'Apply', apiVersion: roles.apiVersion, fieldsV1: { 'f:rules': {} } },
      ],
    },
    aggregationRule,
    rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }],
  });
  const wanted = { ...roles, aggregationRule, rules: [] };
  const seen = inspect(filled('clusterrole-aggregation-controller'), wanted, []);
  assert.deepEqual([seen.drift, seen.conflicts, seen.yielded], [undefined, [], ['/rules']]);
  assert.equal(inspect(filled('another-applier'), wanted, []).conflicts.length, 1);
});
