import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentProfile, type ProfileOptions } from './profiles.ts';

interface Rule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

/** Rules of impersonation, each with the namespace of its Role ('' for a ClusterRole). */
function impersonation(grant: ProfileOptions['grant'], impersonate?: readonly string[]): readonly (readonly [string, Rule])[] {
  const manifests = agentProfile({ namespace: 'fs', grant, ...(impersonate === undefined ? {} : { impersonate }) });
  return manifests.flatMap((manifest) => {
    const { metadata, rules = [] } = manifest as { metadata: { namespace?: string }; rules?: Rule[] }; // as agentProfile writes them
    return rules.filter((rule) => rule.verbs.includes('impersonate')).map((rule) => [metadata.namespace ?? '', rule] as const);
  });
}

test('a list of service accounts grants these and no other; RBAC reads an empty list of names as all of them', () => {
  const namespaces = { kind: 'namespaces', namespaces: ['a', 'b'] } as const;
  const granted = impersonation(namespaces, ['a/deployer']).filter(([, rule]) => rule.resources.includes('serviceaccounts'));
  assert.deepEqual(
    granted.map(([namespace, rule]) => [namespace, rule.resourceNames]),
    [['a', ['deployer']]],
  );
  assert.deepEqual(impersonation(namespaces, []), []);
  assert.deepEqual(impersonation({ kind: 'clusterRole', name: 'x' }, []), []);
  for (const [, rule] of impersonation({ kind: 'admin' }, ['a/one', 'b/two'])) assert.ok((rule.resourceNames ?? []).length > 0);
});
