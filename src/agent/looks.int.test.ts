import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, test } from 'node:test';
import { signerFromPem, type LookAnswer, type LookRequest } from '#api';
import { waitFor } from '#base';
import { configMap, openLab, type Lab } from './testing/harness.ts';
import type { Manifest } from './testing/plane.ts';

let lab: Lab;
before(async () => {
  lab = await openLab('b');
  lab.start();
  await waitFor('the agent to join', () => lab.plane.agent !== undefined, { timeoutMs: 15_000 });
});
after(() => lab[Symbol.asyncDispose]());

const CANARY = 'canary-5d41402abc4b2a76';

function id(kind: string, name: string, more: Partial<LookRequest['object']> = {}): LookRequest['object'] {
  return { group: '', version: 'v1', kind, namespace: lab.namespace, name, ...more };
}

function mapPath(name: string): string {
  return `/api/v1/namespaces/${lab.namespace}/configmaps/${name}`;
}

function patch(path: string, body: unknown, manager: string): Promise<unknown> {
  const contentType = 'application/merge-patch+json';
  return lab.cluster.request('PATCH', `${path}?fieldManager=${manager}`, { body, contentType });
}

interface Shown {
  readonly data: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, unknown>>;
}

function shown({ manifest }: LookAnswer): Shown {
  return JSON.parse(manifest ?? 'null') as Shown;
}

const alert = { settings: { drift: { mode: 'Alert' as const } } };

test("an object as it is: no managers, no copies, which fields are Git's, and that nothing differs", async () => {
  await lab.plane.deliver('same', [configMap('same', lab.namespace)]);
  await lab.plane.untilReady('same');
  const startedAt = performance.now();
  const answer = await lab.plane.look('same', id('ConfigMap', 'same'));
  process.stdout.write(`# a live object after ${Math.round(performance.now() - startedAt)} ms\n`);
  assert.equal(answer.is, 'live');
  assert.equal(answer.release, lab.plane.apps.get('same')?.release);
  assert.deepEqual(answer.differences, []);
  assert.deepEqual(shown(answer).data, { key: 'value' });
  assert.equal(shown(answer).metadata['managedFields'], undefined);
  assert.ok(answer.git?.includes('/data/key') && !answer.git.includes('/metadata/uid'), String(answer.git));
  // Only what an apply sent is Git's: the uid is not.
  assert.equal(typeof shown(answer).metadata['uid'], 'string');
});

test('what the look calls different is what the report calls drift, with who and what', async () => {
  await lab.plane.deliver('alerted', [configMap('alerted', lab.namespace, { key: 'value', other: '1' })], alert);
  await lab.plane.untilReady('alerted');
  await patch(mapPath('alerted'), { data: { key: '<b>by hand</b>', added: 'x' } }, 'kubectl-edit');
  const report = await lab.plane.until('alerted', 'drifted', (one) => one.objects.drifted === 1);
  const answer = await lab.plane.look('alerted', id('ConfigMap', 'alerted'));
  const drifted = (answer.differences ?? []).filter((one) => one.verdict === 'drift');
  assert.equal(drifted.map((one) => one.path).join(', '), report.problems[0]?.reason.args['fields']);
  const [key] = drifted;
  assert.deepEqual(
    { path: key?.path, kind: key?.kind, want: key?.want, live: key?.live, manager: key?.manager },
    { path: '.data.key', kind: 'changed', want: '"value"', live: '"<b>by hand</b>"', manager: 'kubectl-edit' },
  );
  assert.equal(drifted.find((one) => one.path === '.data.added')?.kind, 'added');
});

test('a field that a rule excepts is shown to differ, and does not count', async () => {
  const settings = { drift: { mode: 'Alert' as const, ignore: [{ kind: 'ConfigMap', jsonPointers: ['/data/key'] }] } };
  await lab.plane.deliver('excepted', [configMap('excepted', lab.namespace)], { settings });
  await lab.plane.untilReady('excepted');
  await patch(mapPath('excepted'), { data: { key: 'other' } }, 'kubectl-edit');
  const answer = await lab.plane.look('excepted', id('ConfigMap', 'excepted'));
  assert.deepEqual(
    answer.differences?.map(({ path, verdict }) => ({ path, verdict })),
    [{ path: '.data.key', verdict: 'ignored' }],
  );
});

test('of a Secret the keys only: on either side, in the difference, in annotations and in the log', async () => {
  const secret: Manifest = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'hidden', namespace: lab.namespace, annotations: { copied: CANARY } },
    stringData: { password: CANARY, token: `${CANARY}-2` },
  };
  await lab.plane.deliver('hidden', [secret], alert);
  await lab.plane.untilReady('hidden');
  const path = `/api/v1/namespaces/${lab.namespace}/secrets/hidden`;
  await patch(path, { data: { password: Buffer.from(`${CANARY}-3`).toString('base64') } }, 'kubectl-edit');
  const answer = await lab.plane.look('hidden', id('Secret', 'hidden'));
  const text = JSON.stringify(answer) + lab.logs.join('\n');
  for (const form of [CANARY, Buffer.from(CANARY).toString('base64').slice(0, 16)])
    assert.ok(!text.includes(form), `${form} in ${text}`);
  assert.deepEqual(shown(answer).data, { password: '[redacted]', token: '[redacted]' });
  assert.deepEqual((JSON.parse(answer.wanted ?? '{}') as Shown).data, { password: '[redacted]', token: '[redacted]' });
  const [difference] = answer.differences ?? [];
  assert.deepEqual([difference?.path, difference?.want, difference?.live], ['.data.password', '[redacted]', '[redacted]']);
});

test('an object that is gone is said to be gone', async () => {
  await lab.plane.deliver('gone', [configMap('gone', lab.namespace)], alert);
  await lab.plane.untilReady('gone');
  await lab.cluster.request('DELETE', mapPath('gone'));
  assert.equal((await lab.plane.look('gone', id('ConfigMap', 'gone'))).is, 'absent');
});

test('what is no object of that application is not read, whatever a plane asks for', async () => {
  await lab.plane.deliver('one', [configMap('one', lab.namespace)]);
  await lab.plane.deliver('two', [configMap('two', lab.namespace)]);
  await lab.plane.untilReady('one');
  await lab.plane.untilReady('two');
  for (const [application, object] of [
    ['one', id('ConfigMap', 'two')],
    ['one', id('Secret', 'one')],
    ['one', id('ConfigMap', 'kube-root-ca.crt')],
    ['nobody', id('ConfigMap', 'one')],
    ['one', id('ConfigMap', 'one', { namespace: 'kube-system' })],
    ['one', id('ConfigMap', '../secrets/one')],
  ] as const) {
    const answer = await lab.plane.look(application, object);
    assert.deepEqual([answer.is, answer.refusal, answer.manifest], ['refused', 'unknown', undefined], JSON.stringify(object));
  }
});

test('the object is read as the service account that applies it; what that may not read is not shown', async () => {
  const name = 'reader';
  await lab.cluster.request('POST', `/api/v1/namespaces/${lab.namespace}/serviceaccounts`, {
    body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } },
  });
  const role = (verbs: readonly string[]) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name },
    rules: [{ apiGroups: [''], resources: ['configmaps'], verbs }],
  });
  const base = `/apis/rbac.authorization.k8s.io/v1/namespaces/${lab.namespace}`;
  await lab.cluster.request('POST', `${base}/roles`, { body: role(['get', 'create', 'patch', 'update']) });
  await lab.cluster.request('POST', `${base}/rolebindings`, {
    body: {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: lab.namespace }],
    },
  });
  await lab.plane.deliver('limited', [configMap('limited', lab.namespace)], { serviceAccount: `${lab.namespace}/${name}` });
  await lab.plane.untilReady('limited');
  assert.equal((await lab.plane.look('limited', id('ConfigMap', 'limited'))).is, 'live');
  await lab.cluster.request('PUT', `${base}/roles/${name}`, { body: role(['create', 'patch', 'update']) });
  const answer = await waitFor(
    'the right to be gone',
    async () => {
      const one = await lab.plane.look('limited', id('ConfigMap', 'limited'));
      return one.is === 'refused' ? one : undefined;
    },
    { timeoutMs: 10_000 },
  );
  assert.equal(answer.refusal, 'forbidden');
  assert.match(answer.words ?? '', new RegExp(`service account ${lab.namespace}/reader may not read it`));
});

test('an order that is not signed for this very question shows nothing, and is told', async () => {
  await lab.plane.deliver('safe', [configMap('safe', lab.namespace)]);
  await lab.plane.untilReady('safe');
  const { privateKey } = generateKeyPairSync('ed25519');
  const stranger = signerFromPem(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  for (const tamper of [
    (order: Parameters<typeof lab.plane.sealOrder>[0]) => lab.plane.sealOrder(order, stranger),
    (order: Parameters<typeof lab.plane.sealOrder>[0]) => lab.plane.sealOrder({ ...order, nonce: 'of yesterday' }),
    (order: Parameters<typeof lab.plane.sealOrder>[0]) => lab.plane.sealOrder({ ...order, cluster: 'another' }),
  ]) {
    const before = lab.plane.looked.length;
    const syncs = lab.plane.syncs.length;
    lab.plane.tamperLooks = tamper;
    const answer = lab.plane.look('safe', id('ConfigMap', 'safe'), 3_000);
    await assert.rejects(answer);
    lab.plane.tamperLooks = undefined;
    assert.equal(lab.plane.looked.length, before);
    await waitFor('the agent to go on', () => lab.plane.syncs.length > syncs + 1, { timeoutMs: 10_000 });
  }
  assert.ok(lab.plane.reports.some((report) => report.agent.some((one) => one.code === 'FL_DOCUMENT_SIGNATURE')));
  assert.equal((await lab.plane.look('safe', id('ConfigMap', 'safe'))).is, 'live');
});

test('a plane that asks without end costs the API server little, and the agent goes on', async () => {
  await lab.plane.deliver('asked', [configMap('asked', lab.namespace)]);
  await lab.plane.untilReady('asked');
  const answers: LookAnswer[] = [];
  for (let round = 0; round < 8; round += 1)
    answers.push(...(await Promise.all(Array.from({ length: 8 }, () => lab.plane.look('asked', id('ConfigMap', 'asked'))))));
  assert.equal(answers.length, 64);
  const busy = answers.filter((one) => one.refusal === 'busy').length;
  assert.ok(busy > 0 && busy < 64, `${busy} of 64 refused`);
});

test('turned off, nothing is read and that is what is answered', async () => {
  await using off = await openLab('b');
  off.start({ showsLiveObjects: false });
  await waitFor('the agent to join', () => off.plane.agent !== undefined, { timeoutMs: 15_000 });
  await off.plane.deliver('off', [configMap('off', off.namespace)]);
  await off.plane.untilReady('off');
  const answer = await off.plane.look('off', { ...id('ConfigMap', 'off'), namespace: off.namespace });
  assert.deepEqual([answer.is, answer.refusal, answer.manifest], ['refused', 'off', undefined]);
});
