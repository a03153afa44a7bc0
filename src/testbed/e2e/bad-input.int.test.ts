import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Cluster, type DeliveryView, type FleetView } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { startAdmissionPolicy, startAdmissionWebhook, untilRefused } from './admission.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
const cleanup = new AsyncDisposableStack();
/** Said by the Delivery: application → sentence, on the cluster dev. */
const said = new Map<string, string>();
const since = new Map<string, string | undefined>();
/** How often the webhook was asked about what it refuses. */
let tries = 0;
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { dev: { on: 'a', labels: { env: 'dev', city: 'Bergen' } }, eu: { on: 'b', labels: { env: 'eu' } } },
  });
});

after(async () => {
  await cleanup.disposeAsync();
  await fleet?.[Symbol.asyncDispose]();
});

const onDev = { targets: [{ clusterSelector: { matchLabels: { env: 'dev' } } }] };

async function refused(application: string, code: Parameters<Fleet['reason']>[2], pattern: RegExp): Promise<void> {
  const sentence = await fleet.reason(application, 'dev', code);
  said.set(application, sentence);
  since.set(application, (await fleet.delivery(application, 'dev'))?.status?.reason?.since);
  assert.match(sentence, pattern);
}

/** The object beside the bad one. */
async function goesOn(application: string, namespace = fleet.ns(application)): Promise<void> {
  await waitFor('the object beside it', async () => fleet.configMap('dev', namespace, 'beside'), { timeoutMs: 60_000 });
}

test('what is wrong in Git is named by file and line, and clusters keep the last release', { skip }, async () => {
  const fine = configMapYaml('fine', { a: '1' });
  await fleet.commit({ 'broken/fine.yaml': fine, 'good/fine.yaml': fine });
  await fleet.application('broken', onDev);
  await fleet.application('good');
  await fleet.ready('broken', 'dev');
  const before = await fleet.configMap('dev', fleet.ns('broken'), 'fine');

  const laughs = ['a: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 8; i += 1) laughs.push(`b${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(', ')}]`);
  const commit = await fleet.commit({
    'broken/bad.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n',
    'twice/bad.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: "1"\n  a: "2"\n',
    'bomb/bad.yaml': `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n${laughs.join('\n')}\n`,
    'variable/bad.yaml': configMapYaml('x', { tier: '${cluster.labels.tier}' }),
    'good/fine.yaml': configMapYaml('fine', { a: '2' }),
  });
  await fleet.application('twice', onDev);
  await fleet.application('bomb', onDev);
  await fleet.application('variable', { ...onDev, render: { manifests: { substitute: true } } });
  await fleet.application('path', {
    ...onDev,
    source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'apps/${cluster.labels.tier}' },
  });

  const keep = 'correct it in Git; clusters keep the last release$';
  await refused('broken', 'FL_RENDER_FAILED', new RegExp(`^broken/bad.yaml:\\d: .*; ${keep}`));
  await refused('twice', 'FL_RENDER_FAILED', new RegExp(`^twice/bad.yaml:6: .*"?a"?.*; ${keep}`));
  await refused('bomb', 'FL_RENDER_FAILED', new RegExp(`^bomb/bad.yaml:\\d+: .*expand to more than 20000 values.*; ${keep}`));
  await refused(
    'variable',
    'FL_RENDER_VARIABLE',
    /^variable\/bad.yaml:\d: \$\{cluster\.labels\.tier\} is not known for cluster dev; /,
  );
  await refused(
    'path',
    'FL_RENDER_PATH',
    /^spec.source.path cannot be used: \$\{cluster.labels.tier\} has no value on cluster "dev": the cluster has no label "tier"; correct it, or label the cluster; clusters keep the last release$/,
  );
  assert.deepEqual(await fleet.configMap('dev', fleet.ns('broken'), 'fine'), before);
  for (const cluster of ['dev', 'eu']) {
    await fleet.ready('good', cluster, commit);
    assert.equal((await fleet.configMap(cluster, fleet.ns('good'), 'fine'))?.data?.['a'], '2');
  }
});

test('what the cluster refuses is named by object, cluster and remedy, and objects beside it are applied', { skip }, async () => {
  const { handle } = fleet.member('dev');
  const beside = configMapYaml('beside', { a: '1' });
  for (const name of ['denied', 'hooked', 'full', 'rights']) {
    await handle.request('POST', '/api/v1/namespaces', { body: { metadata: { name: fleet.ns(name) } } });
  }
  cleanup.use(
    await startAdmissionPolicy({
      handle,
      name: `${fleet.id}-denied`,
      namespace: fleet.ns('denied'),
      expression: "object.metadata.name != 'bad'",
      messageExpression: "'no object is called ' + object.metadata.name + ' here'",
    }),
  );
  cleanup.use(
    await startAdmissionWebhook({
      handle,
      name: `${fleet.id}-hooked`,
      namespace: fleet.ns('hooked'),
      judge: (object) => {
        if ((object['metadata'] as { name: string }).name !== 'bad') return undefined;
        tries += 1;
        return 'ask the team of the webhook';
      },
      // Long enough for the agent to say that it is applying again.
      answerAfterMs: () => (tries > 1 ? 1_500 : 0),
    }),
  );
  await handle.apply(
    JSON.stringify({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'few' }, spec: { hard: { services: '0' } } }),
    fleet.ns('full'),
  );
  const bad = { metadata: { name: 'bad' } };
  const service = { metadata: { name: 'bad' }, spec: { ports: [{ port: 80 }] } };
  await untilRefused(handle, `/api/v1/namespaces/${fleet.ns('denied')}/configmaps`, bad);
  await untilRefused(handle, `/api/v1/namespaces/${fleet.ns('hooked')}/configmaps`, bad);
  await untilRefused(handle, `/api/v1/namespaces/${fleet.ns('full')}/services`, service);

  const group = `${fleet.id}.example.com`;
  const serviceYaml = 'apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 80}]}\n';
  await fleet.commit({
    'gadget/a.yaml': `${beside}---\napiVersion: ${group}/v1\nkind: Gadget\nmetadata: {name: mine}\n`,
    'frozen/a.yaml': `${beside}---\n${configMapYaml('bad', { a: '1' })}immutable: true\n`,
    'denied/a.yaml': `${configMapYaml('bad', {})}---\n${beside}`,
    'hooked/a.yaml': `${configMapYaml('bad', {})}---\n${beside}`,
    'full/a.yaml': `${serviceYaml}---\n${beside}`,
    'invalid/a.yaml': `${serviceYaml.replace('80', '99999')}---\n${beside}`,
    'rights/a.yaml': beside,
    'first/a.yaml': configMapYaml('shared', { of: 'first' }),
  });
  for (const name of ['gadget', 'frozen', 'denied', 'hooked', 'full', 'invalid', 'first']) await fleet.application(name, onDev);
  await fleet.application('rights', { ...onDev, serviceAccountName: 'nobody' });
  await fleet.ready('first', 'dev');
  await fleet.ready('frozen', 'dev');
  const commit = await fleet.commit({
    'frozen/a.yaml': `${beside}---\n${configMapYaml('bad', { a: '2' })}immutable: true\n`,
    'second/a.yaml': `${configMapYaml('shared', { of: 'second' })}---\n${beside}`,
    'good/fine.yaml': configMapYaml('fine', { a: '3' }),
  });
  await fleet.application('second', { ...onDev, defaultNamespace: fleet.ns('first') });

  await refused(
    'gadget',
    'FL_APPLY_NO_KIND',
    new RegExp(`^Gadget.*mine \\(gadget/a.yaml:7\\): dev has no kind Gadget; deliver its CustomResourceDefinition`),
  );
  await refused(
    'frozen',
    'FL_APPLY_IMMUTABLE',
    /^ConfigMap .*bad .*dev.*data.*; undo the change in Git, give the object another name, or delete it in the cluster to have it made anew$/,
  );
  await refused('denied', 'FL_APPLY_DENIED', /^ConfigMap .*bad .*dev .*no object is called bad here.*; /);
  await refused('hooked', 'FL_APPLY_DENIED', /^ConfigMap .*bad .*dev .*ask the team of the webhook.*; /);
  await refused('full', 'FL_APPLY_QUOTA', /^Service .*bad .*dev .*exceeded quota: few.*; raise the quota/);
  await refused('invalid', 'FL_APPLY_INVALID', /^Service .*bad \(invalid\/a.yaml:1\) .*dev: .*99999.*; correct it in Git$/);
  await refused('rights', 'FL_APPLY_FORBIDDEN', /nobody may not .* dev.*; /);
  await refused(
    'second',
    'FL_CLAIM_CONFLICT',
    /^ConfigMap .*shared in dev is claimed by application default\/first too; remove it from one of the two; until then default\/first keeps it$/,
  );
  for (const name of ['gadget', 'frozen', 'denied', 'hooked', 'full', 'invalid']) await goesOn(name);
  await goesOn('second', fleet.ns('first'));
  assert.equal((await fleet.configMap('dev', fleet.ns('first'), 'shared'))?.data?.['of'], 'first');
  for (const cluster of ['dev', 'eu']) await fleet.ready('good', cluster, commit);
  await fleet.ready('first', 'dev');
});

test('status, why, the views, the column of kubectl and the event say the same sentence', { skip }, async (t) => {
  assert.equal(said.size, 13);
  for (let round = 0; round < 3; round += 1) {
    const before = tries;
    assert.equal((await fleet.cli(['reconcile', 'hooked'])).exitCode, 0);
    await waitFor('another try', () => tries > before, { timeoutMs: 30_000 });
  }
  for (const [application, sentence] of said) t.diagnostic(`${application}: ${sentence}`);
  const status = (await fleet.cli(['status'])).stdout.toString('utf8');
  const column = (await fleet.kubectl(['get', 'deliveries', '-n', 'default'])).stdout;
  // An Application is summed up at most once a second.
  await waitFor(
    'every application to repeat its delivery',
    async () => {
      const table = (await fleet.kubectl(['get', 'applications', '-n', 'default'])).stdout;
      const silent = [...said].find(([, sentence]) => !table.includes(sentence));
      if (silent !== undefined) throw new Error(`${silent[0]}\n${table}`);
      return true;
    },
    { timeoutMs: 10_000 },
  );
  const fleetView = await fleet.view<FleetView>('fleet');
  const cells = fleetView.problems.flatMap((problem) => problem.deliveries);
  const events = await waitFor(
    'an event of each',
    async () => {
      const all = await fleet.events();
      return [...said.keys()].every((name) => all.some((event) => event.involvedObject.name === `${name}.dev`)) ? all : undefined;
    },
    { timeoutMs: 20_000 },
  );
  for (const [application, sentence] of said) {
    const lines = (text: string): string => `${application}\n${text}`;
    assert.ok(status.includes(sentence), lines(status));
    assert.ok(column.includes(sentence), lines(column));
    assert.equal(cells.find((cell) => cell.application === application)?.sentence, sentence);
    const view = await fleet.view<DeliveryView>(`deliveries/default/${application}/dev`);
    assert.equal(view.sentence, sentence);
    assert.equal(view.why[0]?.sentence, sentence);
    const messages = events.filter((event) => event.involvedObject.name === `${application}.dev`).map((event) => event.message);
    // Tried again meanwhile: that is no news, and no later beginning.
    assert.equal(messages.filter((message) => message === sentence).length, 1, lines(messages.join('\n')));
    assert.equal((await fleet.delivery(application, 'dev'))?.status?.reason?.since, since.get(application), application);
  }
  for (const application of ['variable', 'second', 'frozen']) {
    const why = await fleet.cli(['why', application, 'dev']);
    assert.equal(why.exitCode, 3);
    const first = why.stdout.toString('utf8').split('\n')[0];
    assert.equal(first, `default/${application} on dev: ${said.get(application)}`);
  }
});

test('what was missing is added, and it goes on without a push', { skip }, async () => {
  const { handle } = fleet.member('dev');
  const group = `${fleet.id}.example.com`;
  const name = `gadgets.${group}`;
  cleanup.defer(async () => {
    await handle.request('DELETE', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`);
  });
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  await handle.apply(
    JSON.stringify({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name },
      spec: {
        group,
        names: { kind: 'Gadget', plural: 'gadgets' },
        scope: 'Namespaced',
        versions: [{ name: 'v1', served: true, storage: true, schema }],
      },
    }),
  );
  await fleet.ready('gadget', 'dev');
  assert.notEqual(await fleet.live('dev', `/apis/${group}/v1/namespaces/${fleet.ns('gadget')}/gadgets/mine`), undefined);

  await fleet.patch(Cluster, { name: 'dev' }, { metadata: { labels: { tier: 'gold' } } });
  await fleet.ready('variable', 'dev');
  await fleet.commit({ 'second/a.yaml': configMapYaml('beside', {}), 'broken/bad.yaml': { delete: true } });
  await fleet.ready('second', 'dev');
  await fleet.ready('broken', 'dev');
});
