import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatId, parseId } from './objects.ts';
import { compareForApply, compareForPrune, isProtected, stageOf } from './stages.ts';

const ids = [
  'apps/Deployment/web/frontend',
  '/ConfigMap/web/settings',
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration//guard',
  'example.org/Widget/web/one',
  '/Namespace//web',
  'rbac.authorization.k8s.io/RoleBinding/web/dev',
  'rbac.authorization.k8s.io/Role/web/dev',
  'apiextensions.k8s.io/CustomResourceDefinition//widgets.example.org',
  '/ServiceAccount/web/deployer',
  'apiregistration.k8s.io/APIService//v1.example.org',
  '/Service/web/frontend',
].map(parseId);

test('what others need is applied first, and pruned last', () => {
  const order = [...ids].sort(compareForApply);
  assert.deepEqual(order.map(formatId), [
    'apiextensions.k8s.io/CustomResourceDefinition//widgets.example.org',
    '/Namespace//web',
    '/ServiceAccount/web/deployer',
    'rbac.authorization.k8s.io/Role/web/dev',
    'rbac.authorization.k8s.io/RoleBinding/web/dev',
    '/ConfigMap/web/settings',
    '/Service/web/frontend',
    'apps/Deployment/web/frontend',
    'apiregistration.k8s.io/APIService//v1.example.org',
    'example.org/Widget/web/one',
    'admissionregistration.k8s.io/ValidatingWebhookConfiguration//guard',
  ]);
  assert.deepEqual([...ids].sort(compareForPrune), [...order].reverse());
  assert.deepEqual(
    order.map((id) => stageOf(id)).filter((stage, i, all) => stage !== all[i - 1]),
    ['crds', 'namespaces', 'config', 'workloads', 'rest', 'webhooks'],
  );
});

test('the order does not depend on the order things come in', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(ids, { minLength: ids.length }), (shuffled) => {
      assert.deepEqual([...shuffled].sort(compareForApply), [...ids].sort(compareForApply));
    }),
  );
});

test('only what holds data or other objects is protected', () => {
  const guarded = [
    '/Namespace//a',
    '/PersistentVolumeClaim/a/b',
    '/PersistentVolume//a',
    'apiextensions.k8s.io/CustomResourceDefinition//a',
  ];
  assert.ok(guarded.map(parseId).every(isProtected));
  assert.ok(!['/ConfigMap/a/b', 'example.org/Namespace//a', 'apps/StatefulSet/a/b'].map(parseId).some(isProtected));
});
