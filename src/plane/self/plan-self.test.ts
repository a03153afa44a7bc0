import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Application, Project } from '#api';
import { planSelf, type PlaneManifest, type SelfInput } from './plan-self.ts';

const meta = { uid: 'u', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' };
const base = { apiVersion: 'fairlead.dev/v1alpha1' };

function input(more: Partial<SelfInput> & { readonly planeKinds?: string[]; readonly prune?: boolean }): SelfInput {
  const application: Application = {
    ...base,
    kind: 'Application',
    metadata: { ...meta, name: 'root', namespace: 'team' },
    spec: {
      source: { sourceRef: { kind: 'GitRepository', name: 'x' } },
      ...(more.prune === undefined ? {} : { prune: more.prune }),
    },
  };
  const project: Project = {
    ...base,
    kind: 'Project',
    metadata: { ...meta, name: 'team' },
    spec: { planeKinds: more.planeKinds ?? ['*'] },
  };
  return { application, project, wanted: [], held: [], others: new Map(), bundle: 'sha256:b', waiver: undefined, ...more };
}

function manifest(id: string): PlaneManifest {
  const [kind = '', namespace = ''] = id.split('/');
  return { id, kind, namespace, body: {} };
}

function prunedBy(given: SelfInput): readonly string[] {
  const plan = planSelf(given);
  return 'refused' in plan ? [] : plan.prune;
}

test("a Project's planeKinds decide, and reach beyond its own namespace only with *", () => {
  const refused = (id: string, planeKinds: string[]): boolean =>
    'refused' in planSelf(input({ wanted: [manifest(id)], planeKinds }));
  assert.equal(refused('Application/team/a', ['Application']), false);
  assert.equal(refused('Application/other/a', ['Application']), true);
  assert.equal(refused('Cluster//c', ['Cluster']), true);
  assert.equal(refused('Cluster//c', ['*']), false);
  assert.equal(refused('GitRepository/team/a', ['Application']), true);
  assert.equal(refused('Application/team/a', []), true);
});

test('only what is held goes; itself and what another application holds are let go of', () => {
  const plan = planSelf(
    input({
      wanted: [manifest('GitRepository/team/g')],
      held: ['GitRepository/team/g', 'Application/team/a', 'Application/team/root', 'Credential/team/c'],
      others: new Map([['Credential/team/c', 'team/other']]),
    }),
  );
  assert.deepEqual(plan, {
    apply: [manifest('GitRepository/team/g')],
    prune: ['Application/team/a'],
    orphan: ['Application/team/root', 'Credential/team/c'],
  });
  assert.deepEqual(planSelf(input({ held: ['Application/team/a'], prune: false })), {
    apply: [],
    prune: [],
    orphan: ['Application/team/a'],
  });
});

test('protected kinds and too many at once take a waiver that names the bundle', () => {
  const many = Array.from({ length: 11 }, (_, i) => `Application/team/a${i}`);
  for (const held of [['Cluster//c'], ['Project//p'], many]) {
    assert.ok('refused' in planSelf(input({ held })), held.join());
    assert.ok('refused' in planSelf(input({ held, waiver: 'sha256:another' })));
    assert.deepEqual([...prunedBy(input({ held, waiver: 'sha256:b' }))].sort(), [...held].sort());
  }
});

test('what another application holds is not taken from it', () => {
  const plan = planSelf(
    input({ wanted: [manifest('Application/team/a')], others: new Map([['Application/team/a', 'team/other']]) }),
  );
  assert.ok('refused' in plan && plan.refused.code === 'FL_CLAIM_PLANE_OWNER');
});
