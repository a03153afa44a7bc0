import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
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

const patch = (path: string, body: unknown, manager: string, contentType = 'application/merge-patch+json') =>
  lab.cluster.request('PATCH', `${path}${path.includes('?') ? '&' : '?'}fieldManager=${manager}`, { body, contentType });

const mapPath = (name: string): string => `/api/v1/namespaces/${lab.namespace}/configmaps/${name}`;
const deploymentPath = (name: string): string => `/apis/apps/v1/namespaces/${lab.namespace}/deployments/${name}`;

function deployment(name: string, more: { replicas?: number; env?: readonly object[] } = {}): Manifest {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: lab.namespace },
    spec: {
      ...(more.replicas === undefined ? {} : { replicas: more.replicas }),
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: 'main', image: 'registry.invalid/main:1', env: more.env ?? [{ name: 'A', value: '1' }] }] },
      },
    },
  };
}

interface Deployed {
  readonly spec: {
    replicas: number;
    template: { metadata: { annotations?: Record<string, string> }; spec: { containers: { env?: { name: string }[] }[] } };
  };
}

function event(app: string, code: string): Readonly<Record<string, unknown>> | undefined {
  return lab.plane.events.find((one) => one.application === app && one.reason.code === code)?.reason.args;
}

test('an edit is put back within seconds, naming who, what and when', async () => {
  await lab.plane.deliver('edited', [configMap('edited', lab.namespace)]);
  await lab.plane.untilReady('edited');
  const startedAt = performance.now();
  await patch(mapPath('edited'), { data: { key: 'by hand' } }, 'kubectl-edit');
  await waitFor('the value to be back', async () => (await lab.configMap('edited'))?.data['key'] === 'value', {
    timeoutMs: 5000,
    intervalMs: 5,
  });
  process.stdout.write(`# drift of a ConfigMap repaired after ${Math.round(performance.now() - startedAt)} ms\n`);
  const said = await waitFor('the event', () => event('edited', 'FL_DRIFT_CORRECTED'), { timeoutMs: 5000 });
  assert.equal(said['manager'], 'kubectl-edit');
  assert.match(String(said['fields']), /\.data\.key/);
  assert.notEqual(said['at'], '');
});

test('a deleted object is made again; the event says that nobody can be named', async () => {
  await lab.plane.deliver('deleted', [configMap('deleted', lab.namespace)]);
  await lab.plane.untilReady('deleted');
  const uid = (await lab.configMap('deleted'))?.metadata.uid;
  await lab.cluster.request('DELETE', mapPath('deleted'));
  await waitFor(
    'it to be there again',
    async () => {
      const live = await lab.configMap('deleted');
      return live !== undefined && live.metadata.uid !== uid;
    },
    { timeoutMs: 5000, intervalMs: 10 },
  );
  await waitFor('the event', () => event('deleted', 'FL_DRIFT_DELETED'), { timeoutMs: 5000 });
});

test('a stripped owner label is seen although the object leaves the watch', async () => {
  await lab.plane.deliver('stripped', [configMap('stripped', lab.namespace)]);
  await lab.plane.untilReady('stripped');
  await patch(mapPath('stripped'), { metadata: { labels: { 'fairlead.dev/owner': null } } }, 'kubectl-label');
  await waitFor(
    'the label to be back',
    async () => {
      return (await lab.configMap('stripped'))?.metadata.labels?.['fairlead.dev/owner'] !== undefined;
    },
    { timeoutMs: 5000 },
  );
});

test('fields added by kubectl go: an environment variable, a label, a data key', async () => {
  const { plane } = lab;
  await plane.setApp('added-map', [configMap('added', lab.namespace)]);
  await plane.deliver('added', [deployment('added', { replicas: 1 })]);
  await plane.until('added', 'applied', (report) => report.applied?.release === plane.apps.get('added')?.release);
  await plane.untilReady('added-map');
  await patch(mapPath('added'), { data: { extra: 'x' }, metadata: { labels: { team: 'me' } } }, 'kubectl-edit');
  const env = { spec: { template: { spec: { containers: [{ name: 'main', env: [{ name: 'B', value: '2' }] }] } } } };
  await patch(deploymentPath('added'), env, 'kubectl-set', 'application/strategic-merge-patch+json');
  await waitFor('the data key to go', async () => (await lab.configMap('added'))?.data['extra'] === undefined, {
    timeoutMs: 5000,
  });
  assert.equal((await lab.configMap('added'))?.metadata.labels?.['team'], undefined);
  await waitFor(
    'the variable to go',
    async () => {
      const live = (await lab.get(deploymentPath('added'))) as unknown as Deployed;
      return live.spec.template.spec.containers[0]?.env?.length === 1;
    },
    { timeoutMs: 5000 },
  );
});

test('fields of controllers and other appliers stay', async () => {
  await lab.plane.deliver('foreign', [configMap('foreign', lab.namespace)]);
  await lab.plane.untilReady('foreign');
  await patch(mapPath('foreign'), { metadata: { annotations: { 'operator/x': '1' } } }, 'some-operator');
  const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'foreign' }, data: { theirs: '1' } };
  await patch(`${mapPath('foreign')}?force=true`, JSON.stringify(applied), 'other-tool', 'application/apply-patch+yaml');
  // A change of ours proves that all of it was seen.
  await lab.plane.deliver('foreign', [configMap('foreign', lab.namespace, { key: 'new' })]);
  await lab.plane.untilReady('foreign');
  const live = await lab.configMap('foreign');
  assert.equal(live?.data['theirs'], '1');
  assert.equal(live?.metadata.annotations?.['operator/x'], '1');
});

test('kubectl scale is put back; an autoscaler keeps its replicas, also over a new release', async () => {
  const { plane } = lab;
  await plane.deliver('scaled', [deployment('scaled', { replicas: 1 })]);
  await plane.untilReady('scaled', 30_000);
  const replicas = async (): Promise<number> => ((await lab.get(deploymentPath('scaled'))) as unknown as Deployed).spec.replicas;
  await patch(`${deploymentPath('scaled')}/scale`, { spec: { replicas: 2 } }, 'kubectl');
  await waitFor('the replicas to be back', async () => (await replicas()) === 1, { timeoutMs: 5000 });
  await patch(`${deploymentPath('scaled')}/scale`, { spec: { replicas: 3 } }, 'kube-controller-manager');
  await plane.deliver('scaled', [deployment('scaled', { replicas: 1, env: [{ name: 'A', value: '2' }] })]);
  await plane.untilReady('scaled', 30_000);
  assert.equal(await replicas(), 3);
});

test('an ignored field keeps its live value: taken over, never reset', async () => {
  const { plane } = lab;
  const settings = { drift: { ignore: [{ kind: 'ConfigMap', jsonPointers: ['/data/key'] }] } };
  await plane.deliver('ignored', [configMap('ignored', lab.namespace, { key: 'git', other: '1' })]);
  await plane.untilReady('ignored');
  await plane.deliver('ignored', [configMap('ignored', lab.namespace, { key: 'git', other: '1' })], { settings });
  await plane.untilReady('ignored');
  await patch(mapPath('ignored'), { data: { key: 'by hand', other: 'by hand' } }, 'kubectl-edit');
  await waitFor('the other field to be back', async () => (await lab.configMap('ignored'))?.data['other'] === '1', {
    timeoutMs: 5000,
  });
  assert.equal((await lab.configMap('ignored'))?.data['key'], 'by hand');
  await plane.deliver('ignored', [configMap('ignored', lab.namespace, { key: 'git2', other: '2' })], { settings });
  await plane.untilReady('ignored');
  assert.deepEqual((await lab.configMap('ignored'))?.data, { key: 'by hand', other: '2' });
});

test('mode Alert reports and touches nothing', async () => {
  const { plane } = lab;
  await plane.deliver('alert', [configMap('alert', lab.namespace)], { settings: { drift: { mode: 'Alert' } } });
  await plane.untilReady('alert');
  await patch(mapPath('alert'), { data: { key: 'by hand' } }, 'kubectl-edit');
  const report = await plane.until('alert', 'drifted', (one) => one.objects.drifted === 1);
  assert.equal(report.problems[0]?.reason.code, 'FL_DRIFT_FOUND');
  assert.equal((await lab.configMap('alert'))?.data['key'], 'by hand');
  await patch(mapPath('alert'), { data: { key: 'value' } }, 'kubectl-edit');
});

test('a fight is backed off and reported', async () => {
  const { plane } = lab;
  await plane.deliver('fight', [configMap('fight', lab.namespace)]);
  await plane.untilReady('fight');
  for (let round = 0; round < 6; round += 1) {
    await patch(mapPath('fight'), { data: { key: `theirs ${round}` } }, 'some-operator');
    await waitFor('our value', async () => (await lab.configMap('fight'))?.data['key'] === 'value', {
      timeoutMs: 5000,
      intervalMs: 5,
    });
  }
  const said = await waitFor('the event', () => event('fight', 'FL_DRIFT_FIGHT'), { timeoutMs: 5000 });
  assert.equal(said['manager'], 'some-operator');
  await patch(mapPath('fight'), { data: { key: 'theirs' } }, 'some-operator');
  const report = await plane.until('fight', 'left alone', (one) =>
    one.problems.some((problem) => problem.reason.code === 'FL_DRIFT_FIGHT'),
  );
  assert.equal(report.objects.drifted, 1);
  assert.equal((await lab.configMap('fight'))?.data['key'], 'theirs');
});

test('seen and repaired: 30 edits', async () => {
  const { plane } = lab;
  const names = Array.from({ length: 30 }, (_, index) => `timed-${index}`);
  await plane.deliver(
    'timed',
    names.map((name) => configMap(name, lab.namespace)),
  );
  await plane.untilReady('timed');
  const times: number[] = [];
  for (const name of names) {
    const startedAt = performance.now();
    await patch(mapPath(name), { data: { key: 'x' } }, 'kubectl-edit');
    await waitFor('the value', async () => (await lab.configMap(name))?.data['key'] === 'value', {
      timeoutMs: 5000,
      intervalMs: 3,
    });
    times.push(performance.now() - startedAt);
  }
  times.sort((a, b) => a - b);
  process.stdout.write(
    `# drift repaired: p50 ${Math.round(times[15] ?? 0)} ms, max ${Math.round(times.at(-1) ?? 0)} ms of ${times.length}\n`,
  );
});
