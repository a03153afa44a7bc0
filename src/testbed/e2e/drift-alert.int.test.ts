import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import { Delivery, deliveryName } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { auditMark, type AuditMark } from './audit.ts';
import { deploymentYaml, eventsOf, percentiles, untilEvent } from './drift.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
const COUNT = 50;
let fleet: Fleet;
let mark: AuditMark;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'c' } } });
  const files: Record<string, string> = { 'watched/deployment.yaml': deploymentYaml('web', { replicas: 2 }) };
  for (const name of ['edited', 'deleted', 'stripped']) files[`watched/${name}.yaml`] = configMapYaml(name, { key: 'value' });
  for (let index = 0; index < COUNT; index += 1) files[`timed/${index}.yaml`] = configMapYaml(`timed-${index}`, { key: 'value' });
  await fleet.commit(files);
  await fleet.application('watched', { drift: { mode: 'Alert' } });
  await fleet.application('timed', { drift: { mode: 'Alert' } });
  await fleet.ready('watched', 'dev');
  await fleet.ready('timed', 'dev');
  mark = auditMark(fleet.member('dev').handle, fleet.agentNamespace);
});

after(() => fleet?.[Symbol.asyncDispose]());

async function kubectl(...args: readonly string[]): Promise<void> {
  const result = await fleet.member('dev').handle.kubectl(['-n', fleet.ns('watched'), ...args]);
  assert.equal(result.exitCode, 0, result.stderr);
}

/** Whether the plane has an event about the object; asked over a connection that stays open. */
async function isSaid(name: string): Promise<boolean> {
  const response = await fleet.client.request({
    method: 'GET',
    path: '/api/v1/namespaces/default/events',
    query: { fieldSelector: 'involvedObject.name=timed.dev' },
  });
  return response.body.toString('utf8').includes(`/${name} in dev is not what Git says`);
}

async function drifted(application: string): Promise<number | undefined> {
  const delivery = await fleet.get(Delivery, { namespace: 'default', name: deliveryName(application, 'dev') });
  return delivery?.status?.objects?.drifted;
}

async function untilDrifted(application: string, count: number): Promise<void> {
  await waitFor(
    `${count} drifted objects of ${application}`,
    async () => {
      const now = await drifted(application);
      if (now !== count) throw new Error(`there are ${now}`);
      return true;
    },
    { timeoutMs: 20_000, intervalMs: 5 },
  );
}

test('each sort of drift is reported with its sentence, and nothing is written', { skip }, async () => {
  const of = (name: string): string => `${fleet.ns('watched')}/${name}`;
  await kubectl('patch', 'configmap/edited', '--type=merge', '-p', '{"data":{"key":"by hand"}}', '--field-manager=kubectl-edit');
  const edited = await untilEvent(fleet, 'watched.dev', 'FL_DRIFT_FOUND', (message) => message.includes('/edited'));
  assert.match(
    edited.message,
    new RegExp(`^ConfigMap ${of('edited')} in dev is not what Git says: \\.data\\.key changed by kubectl-edit at `),
  );
  const sentence = await fleet.reason('watched', 'dev', 'FL_DRIFT_FOUND');
  assert.equal(sentence, edited.message, 'the Delivery says what the event says');
  const row = await fleet.kubectl(['get', 'delivery', 'watched.dev', '-n', 'default', '--no-headers']);
  assert.match(row.stdout, /False\s+ConfigMap \S+\/edited in dev is not what Git says/);

  await kubectl('delete', 'configmap/deleted');
  const gone = await untilEvent(fleet, 'watched.dev', 'FL_DRIFT_MISSING');
  assert.match(
    gone.message,
    new RegExp(`^ConfigMap ${of('deleted')} in dev was deleted by somebody \\(a deletion leaves no name\\); `),
  );

  await kubectl('label', 'configmap/stripped', 'fairlead.dev/owner-');
  const stripped = await untilEvent(fleet, 'watched.dev', 'FL_DRIFT_FOUND', (message) => message.includes('/stripped'));
  assert.match(
    stripped.message,
    /\.metadata\.labels\["fairlead\.dev\/owner"\] changed by \(manager not known\) at \(at not known\)/,
  );

  await kubectl('scale', 'deployment/web', '--replicas=5');
  const scaled = await untilEvent(fleet, 'watched.dev', 'FL_DRIFT_FOUND', (message) => message.includes('.spec.replicas'));
  assert.match(scaled.message, /^Deployment \S+\/web in dev is not what Git says: \.spec\.replicas changed by kubectl/);
  await untilDrifted('watched', 4);
});

test(`${COUNT} edits are seen on the plane within a second, and each is said once`, { skip }, async (t: TestContext) => {
  const seenMs: number[] = [];
  for (let index = 0; index < COUNT; index += 1) {
    const path = `/api/v1/namespaces/${fleet.ns('timed')}/configmaps/timed-${index}?fieldManager=kubectl-edit`;
    await fleet.member('dev').handle.request('PATCH', path, {
      body: { data: { key: 'x' } },
      contentType: 'application/merge-patch+json',
    });
    const startedAt = performance.now();
    await waitFor(`the edit of timed-${index} to be said`, () => isSaid(`timed-${index}`), { timeoutMs: 20_000, intervalMs: 5 });
    seenMs.push(performance.now() - startedAt);
  }
  const { p50, p99 } = percentiles(seenMs);
  t.diagnostic(`drift seen on the plane: p50 ${p50} ms, p99 ${p99} ms of ${seenMs.length}`);
  assert.ok(p50 <= 1000, `half of the drifts are seen within a second (${p50} ms)`);
  await waitFor(
    'an event for each',
    async () => {
      const events = (await eventsOf(fleet, 'timed.dev')).filter((event) => event.reason === 'FL_DRIFT_FOUND');
      const objects = new Set(events.map((event) => /timed-\d+/.exec(event.message)?.[0]));
      if (objects.size !== COUNT) throw new Error(`${objects.size} of ${COUNT}`);
      return true;
    },
    { timeoutMs: 20_000 },
  );
  await untilDrifted('timed', COUNT);
});

test('put back by hand, the Delivery is ready again, and the agent has written nothing at all', { skip }, async () => {
  await kubectl('patch', 'configmap/edited', '--type=merge', '-p', '{"data":{"key":"value"}}');
  await untilDrifted('watched', 3);
  await kubectl('scale', 'deployment/web', '--replicas=2');
  await untilDrifted('watched', 2);
  assert.deepEqual(mark.writes(), []);
  // Told to correct, it does.
  await fleet.application('watched', { drift: { mode: 'Correct' } });
  await untilDrifted('watched', 0);
  await fleet.ready('watched', 'dev');
  for (const name of ['edited', 'deleted', 'stripped']) {
    const live = await fleet.configMap('dev', fleet.ns('watched'), name);
    assert.equal(live?.data?.['key'], 'value');
    assert.notEqual(live?.metadata.labels?.['fairlead.dev/owner'], undefined);
  }
});
