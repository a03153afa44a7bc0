import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sensitive, waitFor } from '#base';
import { loadKubeconfig, type ClusterAccess } from '#kube';
import { agentProfile, type ProfileOptions } from './profiles.ts';
import { configMap, openLab, type Lab } from './testing/harness.ts';

/** Access as the agent's own service account with exactly what the profile grants. */
async function accessAs(lab: Lab, grant: ProfileOptions['grant'], impersonate?: readonly string[]): Promise<ClusterAccess> {
  const manifests = agentProfile({ namespace: lab.agentNamespace, grant, ...(impersonate === undefined ? {} : { impersonate }) });
  await lab.cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }));
  const path = `/api/v1/namespaces/${lab.agentNamespace}/serviceaccounts/fairlead-agent/token`;
  const answer = await lab.cluster.request('POST', path, {
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
  });
  const token = (answer.json() as { status: { token: string } }).status.token;
  const admin = await loadKubeconfig(lab.cluster.kubeconfig);
  return {
    server: admin.server,
    ca: admin.ca,
    namespace: lab.agentNamespace,
    token: () => Promise.resolve(new Sensitive(token)),
    forgetToken: () => undefined,
  };
}

async function removeClusterRoles(lab: Lab): Promise<void> {
  for (const [plural, suffixes] of [
    ['clusterroles', ['base']],
    ['clusterrolebindings', ['base', 'admin', 'granted']],
  ] as const) {
    for (const suffix of suffixes) {
      await lab.cluster.request(
        'DELETE',
        `/apis/rbac.authorization.k8s.io/v1/${plural}/fairlead-agent:${lab.agentNamespace}:${suffix}`,
      );
    }
  }
}

test('profile namespaces: applies as a service account of the namespace, heals, and can do nothing beside it', async () => {
  await using lab = await openLab('a');
  const { plane, namespace } = lab;
  try {
    const state = { kind: 'secrets', namespace: lab.agentNamespace, name: 'state' } as const;
    const access = await accessAs(lab, { kind: 'namespaces', namespaces: [namespace] });
    lab.start({ access, state, watchNamespaces: [namespace] });
    await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 15_000 });
    await plane.setApp('own', [configMap('own', namespace)]);
    await plane.deliver('beside', [configMap('beside', 'default')]);
    await plane.untilReady('own');
    const denied = await plane.until('beside', 'refused', (report) => report.problems.length === 1);
    assert.equal(denied.problems[0]?.reason.code, 'FL_APPLY_FORBIDDEN');
    await lab.cluster.request('DELETE', `/api/v1/namespaces/${namespace}/configmaps/own`);
    await waitFor('it to be back', async () => (await lab.configMap('own')) !== undefined, { timeoutMs: 10_000 });
  } finally {
    await removeClusterRoles(lab);
  }
});

test('profile clusterRole: what the named role says; admin only when it is asked for', async () => {
  await using lab = await openLab('a');
  const { plane, namespace } = lab;
  try {
    const state = { kind: 'secrets', namespace: lab.agentNamespace, name: 'state' } as const;
    lab.start({ access: await accessAs(lab, { kind: 'clusterRole', name: 'admin' }), state });
    await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 15_000 });
    await plane.deliver('web', [configMap('web', namespace)]);
    await plane.untilReady('web');
  } finally {
    await removeClusterRoles(lab);
  }
  const roles = (grant: ProfileOptions['grant']): string => JSON.stringify(agentProfile({ namespace: 'x', grant }));
  assert.ok(roles({ kind: 'admin' }).includes('cluster-admin'));
  assert.ok(!roles({ kind: 'namespaces', namespaces: ['a'] }).includes('cluster-admin'));
  assert.ok(!roles({ kind: 'clusterRole', name: 'view' }).includes('cluster-admin'));
});
