import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import { silentLog, waitFor } from '#base';
import { createKubeClient, loadKubeconfig, type KubeClient } from '#kube';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet, type LiveObject } from './fleet.ts';
import { deploymentYaml, eventsOf, percentiles, untilEvent } from './drift.ts';

const skip = testbedMissing();
const COUNT = 60;
let fleet: Fleet;
let client: KubeClient;

const timed = Array.from({ length: COUNT }, (_, index) => `timed-${index}`);

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'c' } } });
  client = createKubeClient({
    access: await loadKubeconfig(fleet.member('dev').handle.kubeconfig),
    userAgent: 'fairlead-test/0',
    log: silentLog,
    maxSockets: 4,
  });
  const files: Record<string, string> = {
    'web/one.yaml': configMapYaml('one', { greeting: 'hello', other: 'kept' }),
    'web/deployment.yaml': deploymentYaml('web', { replicas: 2 }),
    'web/two.yaml': configMapYaml('two', { a: '1' }),
    'web/three.yaml': configMapYaml('three', { a: '1' }),
  };
  for (const name of timed) files[`timed/${name}.yaml`] = configMapYaml(name, { key: 'value' });
  await fleet.commit(files);
  await fleet.application('web');
  await fleet.application('timed');
  await fleet.ready('web', 'dev');
  await fleet.ready('timed', 'dev');
});

after(async () => {
  client?.close();
  await fleet?.[Symbol.asyncDispose]();
});

const kubectl = (...args: readonly string[]): Promise<void> => kubectlWith({}, ...args);

async function kubectlWith(env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<void> {
  const result = await fleet.member('dev').handle.kubectl(['-n', fleet.ns('web'), ...args], { env });
  assert.equal(result.exitCode, 0, result.stderr);
}

/** `kubectl edit` with an editor that runs this sed script. */
const edit = (object: string, script: string): Promise<void> =>
  kubectlWith({ KUBE_EDITOR: `sed -i -e ${JSON.stringify(script)}` }, 'edit', object);

const one = (name: string): Promise<LiveObject | undefined> => fleet.configMap('dev', fleet.ns('web'), name);

interface Deployed {
  readonly replicas: number;
  readonly template: {
    readonly spec: { readonly containers: readonly { readonly env?: readonly { readonly name: string }[] }[] };
  };
}

async function deployed(): Promise<Deployed> {
  const live = await fleet.live('dev', `/apis/apps/v1/namespaces/${fleet.ns('web')}/deployments/web`);
  return live?.spec as unknown as Deployed; // of the API server
}

test('kubectl edit of a value is put back; the event names the manager, the field and the time', { skip }, async () => {
  const startedMs = Date.now();
  await edit('configmap/one', 's/greeting: hello/greeting: by hand/');
  await waitFor('the value to be back', async () => (await one('one'))?.data?.['greeting'] === 'hello', { timeoutMs: 20_000 });
  const event = await untilEvent(fleet, 'web.dev', 'FL_DRIFT_CORRECTED', (message) => message.includes('.data.greeting'));
  const said = /^ConfigMap (\S+) in dev: (.+) changed by (\S+) at (\S+) were put back$/.exec(event.message);
  assert.deepEqual(said?.slice(1, 4), [`${fleet.ns('web')}/one`, '.data.greeting', 'kubectl-edit'], event.message);
  const at = Date.parse(said?.[4] ?? '');
  assert.ok(at >= startedMs - 2000 && at <= Date.now() + 2000, `${said?.[4]} is when it was changed`);
});

test('a variable added by kubectl edit or kubectl set env goes, and nothing else does', { skip }, async () => {
  await edit('deployment/web', 's/^\\( *\\)imagePullPolicy:.*/&\\n\\1env: [{name: BY_EDIT, value: x}]/');
  await waitFor(
    'the edited variable to be seen',
    async () => (await untilEvent(fleet, 'web.dev', 'FL_DRIFT_CORRECTED', (m) => m.includes('BY_EDIT'))) !== undefined,
    { timeoutMs: 20_000 },
  );
  await kubectl('set', 'env', 'deployment/web', 'BY_SET=x');
  const event = await untilEvent(fleet, 'web.dev', 'FL_DRIFT_CORRECTED', (message) => message.includes('BY_SET'));
  assert.match(event.message, /env\[name="BY_SET"\].* changed by kubectl-set at /);
  await waitFor('both variables to be gone', async () => (await deployed()).template.spec.containers[0]?.env === undefined, {
    timeoutMs: 20_000,
  });
  assert.equal((await deployed()).replicas, 2);
});

test('kubectl scale is put back', { skip }, async () => {
  await kubectl('scale', 'deployment/web', '--replicas=5');
  const event = await untilEvent(fleet, 'web.dev', 'FL_DRIFT_CORRECTED', (message) => message.includes('.spec.replicas'));
  assert.match(event.message, /: \.spec\.replicas changed by kubectl\S* at /);
  assert.equal((await deployed()).replicas, 2);
});

test('a deleted object is made again; the event says that a deletion leaves no name', { skip }, async () => {
  const uid = (await one('two'))?.metadata.uid;
  await kubectl('delete', 'configmap/two');
  await waitFor(
    'it to be there again',
    async () => {
      const live = await one('two');
      return live !== undefined && live.metadata.uid !== uid;
    },
    { timeoutMs: 20_000 },
  );
  const event = await untilEvent(fleet, 'web.dev', 'FL_DRIFT_DELETED');
  assert.equal(
    event.message,
    `ConfigMap ${fleet.ns('web')}/two in dev was deleted by somebody (a deletion leaves no name) and made again`,
  );
});

test('a value that was removed leaves no manager: the event says so and blames nobody else', { skip }, async () => {
  // Somebody who only ever wrote an annotation.
  await kubectl('annotate', 'configmap/one', 'example.com/note=x', '--field-manager=some-operator');
  await kubectl('patch', 'configmap/one', '--type=json', '-p', '[{"op":"remove","path":"/data/other"}]');
  await waitFor('the value to be back', async () => (await one('one'))?.data?.['other'] === 'kept', { timeoutMs: 20_000 });
  const event = await untilEvent(fleet, 'web.dev', 'FL_DRIFT_CORRECTED', (message) => message.includes('.data.other'));
  assert.match(event.message, /: \.data\.other changed by \(manager not known\) at /);
  assert.equal((await one('one'))?.metadata.annotations?.['example.com/note'], 'x', 'an annotation of an operator stays');
});

test('stripped labels come back, and a bystander is not blamed', { skip }, async () => {
  await kubectl('annotate', 'configmap/three', 'example.com/note=x', '--field-manager=some-operator');
  await kubectl('label', 'configmap/three', 'fairlead.dev/owner-');
  await waitFor('the label to be back', async () => (await one('three'))?.metadata.labels?.['fairlead.dev/owner'] !== undefined, {
    timeoutMs: 20_000,
  });
  const event = await untilEvent(fleet, 'web.dev', 'FL_DRIFT_CORRECTED', (message) => message.includes('/three'));
  assert.match(event.message, /\.metadata\.labels.* changed by \(manager not known\) at /);
});

test(`${COUNT} drifts of every sort are repaired within a second`, { skip }, async (t: TestContext) => {
  const path = (name: string): string => `/api/v1/namespaces/${fleet.ns('timed')}/configmaps/${name}`;
  const read = async (name: string): Promise<LiveObject | undefined> => {
    const live = await client.request({ method: 'GET', path: path(name) }).catch(() => undefined);
    return live === undefined ? undefined : (JSON.parse(live.body.toString('utf8')) as LiveObject);
  };
  const patch = (body: unknown) => (name: string) =>
    client.request({
      method: 'PATCH',
      path: path(name),
      query: { fieldManager: 'kubectl-edit' },
      contentType: 'application/merge-patch+json',
      body: JSON.stringify(body),
    });
  const sorts = [
    { sort: 'edit', drift: patch({ data: { key: 'x' } }) },
    { sort: 'deletion', drift: (name: string) => client.request({ method: 'DELETE', path: path(name) }) },
    { sort: 'stripped label', drift: patch({ metadata: { labels: { 'fairlead.dev/owner': null } } }) },
    { sort: 'addition', drift: patch({ data: { more: 'x' } }) },
  ] as const;
  const tookMs: number[] = [];
  for (const [index, name] of timed.entries()) {
    const { sort, drift } = sorts[index % sorts.length] ?? sorts[0];
    const before = await read(name);
    await drift(name);
    const startedAt = performance.now();
    await waitFor(
      `the ${sort} of ${name} to be repaired`,
      async () => {
        const live = await read(name);
        return (
          live !== undefined &&
          live.metadata.resourceVersion !== before?.metadata.resourceVersion &&
          live.metadata.labels?.['fairlead.dev/owner'] !== undefined &&
          JSON.stringify(live.data) === '{"key":"value"}'
        );
      },
      { timeoutMs: 20_000, intervalMs: 2 },
    );
    tookMs.push(performance.now() - startedAt);
  }
  const { p50, p99 } = percentiles(tookMs);
  t.diagnostic(`drift repaired in the cluster: p50 ${p50} ms, p99 ${p99} ms of ${tookMs.length}`);
  assert.ok(p50 <= 1000, `half of the drifts are repaired within a second (${p50} ms)`);
  // Every one of them is said, once.
  await waitFor(
    'an event for each',
    async () => {
      const events = await eventsOf(fleet, 'timed.dev');
      const said = events.filter((event) => event.reason === 'FL_DRIFT_CORRECTED' || event.reason === 'FL_DRIFT_DELETED');
      if (said.length !== COUNT)
        throw new Error(
          `${said.length} of ${COUNT}; not of ${timed.filter((name) => !said.some((event) => event.message.includes(`/${name} `))).join(', ')}; others: ${events
            .filter((event) => !said.includes(event))
            .map((event) => event.message)
            .join('; ')}`,
        );
      assert.ok(said.every((event) => event.count === 1));
      return true;
    },
    { timeoutMs: 20_000 },
  );
});
