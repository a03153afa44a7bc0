import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { auditMark, type AuditMark } from './audit.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
const MANY = 1000;
const SOME = 200;
let fleet: Fleet;

/** `count` ConfigMaps, a hundred to a file. */
function files(path: string, count: number, comment = ''): Record<string, string> {
  const all: Record<string, string> = {};
  for (let from = 0; from < count; from += 100) {
    const objects = Array.from({ length: Math.min(100, count - from) }, (_, index) =>
      configMapYaml(`one-${from + index}`, { key: 'value', number: String(from + index) }),
    );
    all[`${path}/${from}.yaml`] = `${comment}${objects.join('---\n')}`;
  }
  return all;
}

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'a' } } });
  await fleet.commit({ ...files('many', MANY), ...files('some', SOME) });
  await fleet.application('many');
  await fleet.application('some');
  await fleet.ready('many', 'dev', undefined, 180_000);
  await fleet.ready('some', 'dev', undefined, 180_000);
});

after(() => fleet?.[Symbol.asyncDispose]());

function mark(): AuditMark {
  return auditMark(fleet.member('dev').handle, fleet.agentNamespace);
}

/** What the plane has served to agents since it started, by its own count. */
async function served(): Promise<{ readonly objects: number; readonly bytes: number }> {
  const response = await fleet.client.request({ method: 'GET', path: '/metrics' });
  const text = response.body.toString('utf8');
  const value = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return { objects: value('fairlead_agent_objects_total'), bytes: value('fairlead_agent_object_bytes_total') };
}

test('one changed line in a bundle of 200 sends one object and writes one', { skip }, async (t: TestContext) => {
  const before = await served();
  assert.equal(before.objects, MANY + SOME, 'the count of the plane is a count of objects');
  const audit = mark();
  const changed = files('some', SOME)['some/100.yaml']?.replace('"number":"150"', '"number":"changed"') ?? '';
  const commit = await fleet.commit({ 'some/100.yaml': changed });
  await fleet.ready('some', 'dev', commit);
  assert.equal((await fleet.configMap('dev', fleet.ns('some'), 'one-150'))?.data?.['number'], 'changed');
  const now = await served();
  assert.equal(now.objects - before.objects, 1);
  t.diagnostic(`one changed line: ${now.bytes - before.bytes} bytes of objects served, ${audit.requests().length} requests`);
  assert.ok(now.bytes - before.bytes < 1000);
  const name = `/api/v1/namespaces/${fleet.ns('some')}/configmaps/one-150`;
  assert.deepEqual(
    audit.writes().map(({ verb, uri }) => [verb, uri.split('?')[0]]),
    [['patch', name]],
  );
  assert.ok(audit.requests().length <= 3, JSON.stringify(audit.requests()));
});

test(`a commit and settings that change nothing of ${MANY} objects write nothing and read almost nothing`, { skip }, async () => {
  const audit = mark();
  const before = await served();
  // Another text, the same objects.
  const commit = await fleet.commit(files('many', MANY, '# A comment.\n'));
  await fleet.ready('many', 'dev', commit);
  // Another Release with the same bundle: every object is compared anew.
  await fleet.application('many', { onTargetExit: 'Delete' });
  await fleet.ready('many', 'dev');
  assert.deepEqual(audit.writes(), []);
  // The watch knows all objects; that their namespace is there is asked once for each Release.
  const namespace = `/api/v1/namespaces/${fleet.ns('many')}`;
  assert.ok(audit.requests().length <= 2, JSON.stringify(audit.requests()));
  for (const { verb, uri } of audit.requests()) assert.deepEqual([verb, uri], ['get', namespace]);
  assert.equal((await served()).objects, before.objects);
});

test(
  `an agent that starts again writes nothing of ${MANY} unchanged objects and reads each kind once`,
  { skip },
  async (t: TestContext) => {
    const before = await served();
    await fleet.member('dev').killAgent();
    const audit = mark();
    fleet.member('dev').startAgent();
    // It heals again: then it has compared everything.
    for (const application of ['many', 'some']) {
      const path = `/api/v1/namespaces/${fleet.ns(application)}/configmaps/one-7`;
      await fleet.member('dev').handle.request('DELETE', path);
      await waitFor('it to be made again', async () => (await fleet.live('dev', path)) !== undefined, { timeoutMs: 60_000 });
    }
    await fleet.ready('many', 'dev');
    await fleet.ready('some', 'dev');
    const requests = audit.requests();
    t.diagnostic(`an agent started beside ${MANY + SOME} objects: ${requests.length} requests`);
    assert.deepEqual(
      audit.writes().map(({ verb, uri }) => [verb, uri.split('?')[0]]),
      ['many', 'some'].map((application) => ['patch', `/api/v1/namespaces/${fleet.ns(application)}/configmaps/one-7`]),
    );
    const objects = requests.filter(({ uri }) => uri.includes('/configmaps'));
    assert.ok(objects.length <= 8, JSON.stringify(objects));
    assert.ok(requests.length <= 30, JSON.stringify(requests));
    assert.equal((await served()).objects, before.objects, 'what it had it does not fetch again');
  },
);

test('a plane that starts again causes no request to the cluster', { skip }, async () => {
  const audit = mark();
  await fleet.killPlane();
  await fleet.startPlane();
  const commit = await fleet.commit({ 'some/new.yaml': configMapYaml('new', { a: '1' }) });
  await fleet.ready('some', 'dev', commit);
  await fleet.ready('many', 'dev');
  assert.equal((await served()).objects, 1);
  assert.deepEqual(
    audit.writes().map(({ verb, uri }) => [verb, uri.split('?')[0]]),
    [['patch', `/api/v1/namespaces/${fleet.ns('some')}/configmaps/new`]],
  );
});
