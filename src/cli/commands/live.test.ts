import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeliveryView, ObjectIdentity } from '#api';
import { findObject } from './live.ts';

function id(kind: string, name: string, more: Partial<ObjectIdentity> = {}): ObjectIdentity {
  return { group: '', version: 'v1', kind, namespace: 'shop', name, ...more };
}

const ids = [
  id('ConfigMap', 'rules'),
  id('ConfigMap', 'twice'),
  id('ConfigMap', 'twice', { namespace: 'other' }),
  id('Deployment', 'web', { group: 'apps' }),
  id('Role', 'web', { group: 'rbac.authorization.k8s.io' }),
  id('Namespace', 'shop', { namespace: '' }),
];
const delivery = {
  application: 'shop',
  cluster: 'eu',
  objects: ids.map((one) => ({ id: one })) as unknown as DeliveryView['objects'], // only ids are read
};

test('an object is named as kubectl names it, with namespace and group where they are needed', () => {
  for (const [text, index] of [
    ['ConfigMap/rules', 0],
    ['configmaps/rules', 0],
    ['configmap/other/twice', 2],
    ['deployment/web', 3],
    ['Deployment.apps/shop/web', 3],
    ['role.rbac.authorization.k8s.io/web', 4],
    ['Namespace/shop', 5],
  ] as const)
    assert.deepEqual(findObject(text, delivery), ids[index], text);
});

test('what names nothing, or more than one, is refused with how to write it', () => {
  assert.throws(() => findObject('ConfigMap/twice', delivery), {
    code: 'FL_CLI_OBJECT',
    message: /names more than one object of shop on eu; .* ConfigMap\/shop\/twice, ConfigMap\/other\/twice/,
  });
  for (const text of ['rules', 'ConfigMap/', 'ConfigMap/none', 'Deployment.extensions/web', 'a/b/c/d'])
    assert.throws(() => findObject(text, delivery), { code: 'FL_CLI_OBJECT', message: /names no object/ }, text);
});
