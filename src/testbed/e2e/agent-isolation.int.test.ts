import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Cluster, conditionOf, Delivery, Release } from '#api';
import { must, waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { openState } from '../../agent/state/open-state.ts';
import { AgentClient, Refused } from '../../plane/agents/testing/agent-client.ts';
import { tailOf, type Child } from '../demo/child.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
let fleet: Fleet;
let spy: AgentClient;
const strays: Child[] = [];

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { dev: { on: 'a', labels: { env: 'dev' } }, eu: { on: 'b', state: 'secrets' } },
    agentArgs: ['--lease-duration', '8'],
  });
  await fleet.commit({
    'web/one.yaml': configMapYaml('one', { n: '1' }),
    'web/secret.yaml': `apiVersion: v1\nkind: Secret\nmetadata: {name: hidden}\nstringData: {password: canary-${fleet.id}}\n`,
  });
  await fleet.application('web', { targets: [{ clusterSelector: { matchLabels: { env: 'dev' } } }] });
  await fleet.ready('web', 'dev');
  const keys = JSON.parse(readFileSync(join(fleet.planeDir, 'keys', 'authority.json'), 'utf8')) as { cert: string };
  spy = new AgentClient({ url: fleet.planeUrl, ca: keys.cert });
  await fleet.apply(Cluster, { name: 'spy' }, {});
});

after(async () => {
  spy?.close();
  for (const stray of strays) await stray.stop(2000);
  await fleet?.[Symbol.asyncDispose]();
});

const refused = (status: number, code?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Refused, String(error));
  assert.equal(error.status, status);
  if (code !== undefined) assert.match(error.code, code);
  return true;
};

/** What Kubernetes' audit log says that the agent of this fleet wrote in that cluster since `from` bytes. */
function writesSince(auditLog: string, from: number): string[] {
  const user = `system:serviceaccount:${fleet.agentNamespace}:fairlead-agent`;
  return readFileSync(auditLog)
    .subarray(from)
    .toString('utf8')
    .split('\n')
    .filter((line) => line.includes(user) && /"verb":"(create|update|patch|delete|deletecollection)"/.test(line));
}

async function clusterSays(name: string, code: string, timeoutMs = 90_000): Promise<string> {
  return waitFor(
    `${name} to say ${code}`,
    async () => {
      const found = await fleet.get(Cluster, { name });
      if (found?.status?.reason?.code !== code) throw new Error(JSON.stringify(found?.status?.reason));
      return conditionOf(found, 'Ready')?.message;
    },
    { timeoutMs, intervalMs: 100 },
  );
}

test('a join token works once: for the first key, and for it again', { skip }, async () => {
  const token = await fleet.joinToken('spy');
  await spy.join(token);
  await spy.join(token);
  const second = new AgentClient({
    url: fleet.planeUrl,
    ca: (JSON.parse(readFileSync(join(fleet.planeDir, 'keys', 'authority.json'), 'utf8')) as { cert: string }).cert,
  });
  try {
    await assert.rejects(second.join(token), refused(403, /^FL_JOIN_USED$/));
  } finally {
    second.close();
  }
  assert.equal((await fleet.get(Cluster, { name: 'spy' }))?.status?.agent?.keyId, spy.signer.keyId, 'the first stays');
});

test('an agent reads nothing of another cluster, and says nothing of it', { skip }, async () => {
  const delivery = must(await fleet.delivery('web', 'dev'), 'web is delivered to dev');
  const release = must(
    await fleet.get(Release, { namespace: 'default', name: delivery.spec.wanted?.release ?? '' }),
    'its release is there',
  );
  const digest = must(release.spec.bundles.find((one) => one.clusters.includes('dev'))?.digest, 'dev has a bundle');
  await assert.rejects(spy.bundle(digest), refused(404));
  await assert.rejects(spy.bundle(`sha256:${'0'.repeat(64)}`), refused(404), 'what is hidden looks like what is not');

  // The digests of its objects, as somebody may have learnt them: nothing of them comes either.
  await cp(fleet.stateDir('dev'), fleet.stateDir('read'), { recursive: true });
  await rm(join(fleet.stateDir('read'), 'lock.json'), { force: true });
  const store = await openState({ kind: 'directory', directory: fleet.stateDir('read') }, fleet.client);
  const digests = (store.bundle(digest)?.entries ?? []).map((entry) => entry.digest);
  await store.close();
  assert.ok(digests.length >= 2);
  const objects = await spy.objects(digests).catch((error: unknown) => {
    assert.ok(error instanceof Refused && error.status === 404, String(error));
    return new Map();
  });
  assert.equal(objects.size, 0);

  // In the name of dev, with a key of its own; with a token made for another path or body; with one used before.
  await assert.rejects(
    spy.sync(0, { as: { cluster: 'dev' } }),
    (error: unknown) => error instanceof Refused && error.status >= 401,
  );
  await assert.rejects(
    spy.bundle(digest, { as: { cluster: 'dev' } }),
    (error: unknown) => error instanceof Refused && error.status >= 401,
  );
  let used = '';
  await spy.sync(0, { onToken: (token) => (used = token) });
  await assert.rejects(spy.sync(0, { authorization: used }), refused(401));

  // What it reports of others' deliveries moves nothing.
  const before = await fleet.get(Delivery, { namespace: 'default', name: delivery.metadata.name });
  const lie = {
    project: 'default',
    application: 'web',
    release: 'web.99',
    number: 99,
    bundle: digest,
    phase: 'steady' as const,
    health: 'degraded' as const,
    objects: { total: 1, applied: 0, healthy: 0, failed: 1, drifted: 0 },
    problems: [],
    times: {},
  };
  await spy.report([lie]).catch((error: unknown) => assert.ok(error instanceof Refused, String(error)));
  await spy.sync(0);
  assert.deepEqual(
    (await fleet.get(Delivery, { namespace: 'default', name: delivery.metadata.name }))?.status?.reason,
    before?.status?.reason,
  );
  assert.equal(await fleet.delivery('web', 'spy'), undefined);

  // The other surfaces are not for agents.
  for (const path of ['/apis/fairlead.dev/v1alpha1/clusters', '/api/v1/namespaces/default/events', '/views/v1/fleet']) {
    const answer = await spy.send('GET', path, undefined);
    assert.ok(answer.status === 401 || answer.status === 403, `${path}: ${answer.status}`);
    assert.ok(!answer.body.includes('dev'));
  }
});

test('of two processes with one identity one applies, and both are shown', { skip, timeout: 240_000 }, async () => {
  // A second pod on the state in Secrets; and a copy of a state directory.
  strays.push(fleet.startAgent('eu'));
  await cp(fleet.stateDir('dev'), fleet.stateDir('copy'), { recursive: true });
  await rm(join(fleet.stateDir('copy'), 'lock.json'), { force: true });
  strays.push(fleet.startAgent('dev', [], 'copy'));

  for (const cluster of ['dev', 'eu']) {
    const words = await clusterSays(cluster, 'FL_CONTACT_TWIN');
    const [, holder = '', other = ''] = /: (\S+) applies, (\S+) waits/.exec(words) ?? [];
    assert.ok(holder !== '' && other !== '' && holder !== other, words);
  }
  // Work goes on, once.
  const next = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { n: '2' }) });
  await waitFor(
    'the change to be applied',
    async () => (await fleet.configMap('dev', fleet.ns('web'), 'one'))?.data?.['n'] === '2',
    {
      timeoutMs: 60_000,
    },
  );
  const applied = (await fleet.events()).filter(({ reason, message }) => reason === 'FL_APPLIED' && message.includes(' in dev'));
  assert.equal(new Set(applied.map(({ message }) => message)).size, applied.length);
  assert.ok(next);

  for (const stray of strays.splice(0)) {
    assert.ok(stray.isRunning(), tailOf(stray.log));
    await stray.stop(3000);
  }
  for (const cluster of ['dev', 'eu']) await clusterSays(cluster, 'FL_CLUSTER_READY');
});

test('an agent that is pointed at the wrong cluster writes nothing, and it is shown', { skip, timeout: 180_000 }, async () => {
  const { auditLog } = fleet.member('eu').handle;
  await fleet.member('dev').killAgent();
  await fleet.member('eu').killAgent();
  const from = readFileSync(auditLog).length;
  await rm(join(fleet.stateDir('dev'), 'lock.json'), { force: true });
  const lost = fleet.startAgent('eu', ['--state-dir', fleet.stateDir('dev')], 'eu');
  strays.push(lost);
  const words = await clusterSays('dev', 'FL_CONTACT_WRONG_CLUSTER');
  assert.match(words, /pointed at another cluster/);
  // Something to do, that it must not do.
  const next = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { n: '3' }) });
  await waitFor(
    'the plane to want the change',
    async () =>
      (await fleet.delivery('web', 'dev'))?.spec.wanted !== undefined &&
      (await fleet.get(Release, { namespace: 'default', name: (await fleet.delivery('web', 'dev'))?.spec.wanted?.release ?? '' }))
        ?.spec.source.commit === next,
    { timeoutMs: 60_000 },
  );
  await clusterSays('dev', 'FL_CONTACT_WRONG_CLUSTER');
  assert.deepEqual(writesSince(auditLog, from), []);
  assert.equal(await fleet.live('eu', `/api/v1/namespaces/${fleet.ns('web')}`), undefined);
  await lost.stop(3000);
  assert.deepEqual(writesSince(auditLog, from), []);
  // At home again it does what it could not do there.
  fleet.member('dev').startAgent();
  fleet.member('eu').startAgent();
  await fleet.ready('web', 'dev', next);
  await clusterSays('dev', 'FL_CLUSTER_READY');
});
