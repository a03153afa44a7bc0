import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Application, REFRESH_ANNOTATION, RenderRow, say, type Release } from '#api';
import { ChartServer, World } from './testing/world.ts';

const source = { sourceRef: { kind: 'GitRepository' as const, name: 'fleet' }, path: 'charts/web' };

/** A chart in Git whose dependency is in no Chart.lock, so that a range decides. */
describe('what a chart names elsewhere and does not lock', () => {
  let w: World;
  let charts: ChartServer;
  const spec: Application['spec'] = { source, targets: [{ clusterSelector: {} }], defaultNamespace: 'web' };
  const chartYaml = (range: string): string =>
    `apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n- {name: redis, version: "${range}", repository: "${charts.url}"}\n`;
  const textOf = async (release: Release): Promise<string> => {
    const digest = release.spec.bundles[0]?.digest ?? '';
    const bundle = JSON.parse(String(Buffer.from((await w.store.blobs([digest])).get(digest) ?? []))) as {
      entries: { digest: string }[];
    };
    const digests = bundle.entries.map((entry) => entry.digest);
    return [...(await w.store.blobs(digests)).values()].map((bytes) => Buffer.from(bytes).toString()).join('\n');
  };
  const notices = async (): Promise<string[]> => ((await w.app('web')).status?.notices ?? []).map(say);
  const pinsOf = async (): Promise<string[]> => {
    const row = await w.get(RenderRow, { namespace: 'default', name: 'web' });
    return row.spec.trees.flatMap((tree) => Object.values(tree.pins ?? {}));
  };

  before(async () => {
    charts = await ChartServer.start();
    charts.publish('redis', '1.2.3');
    w = await World.start(() => [], { fetches: true });
    await w.project();
    await w.cluster('eu', {});
    await w.git.commit('fleet', { 'charts/web/Chart.yaml': chartYaml('^1.2'), 'charts/web/values.yaml': 'x: 1\n' }, 'one');
    await w.repository();
  });
  after(async () => {
    await w[Symbol.asyncDispose]();
    await charts[Symbol.asyncDispose]();
  });

  test('is resolved once, and what it was resolved to is said', async () => {
    await w.put(Application, 'web', spec);
    assert.match(await textOf(await w.untilReleased('web', 1)), /"version":"1\.2\.3"/);
    const [notice = '', ...more] = await notices();
    assert.match(
      notice,
      /^chart redis \^1\.2 from http:\/\/127\.0\.0\.1:\d+ resolved to 1\.2\.3 at 20[-0-9]+T[:0-9]+Z; it is not locked and stays as it is; .*: fairlead reconcile application\/web --refresh$/,
    );
    assert.deepEqual(more, []);
  });

  test('does not move by a newer version, a commit, another option or a restart of the plane', async () => {
    const former = await pinsOf();
    charts.publish('redis', '1.3.0');
    await w.push({ 'charts/web/templates/own.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\n' });
    assert.match(await textOf(await w.untilReleased('web', 2)), /"version":"1\.2\.3"/);
    await w.restart();
    await w.put(Application, 'web', { ...spec, render: { helm: { values: { redis: { replicas: 3 } } } } });
    assert.match(await textOf(await w.untilReleased('web', 3)), /"replicas":"3","version":"1\.2\.3"/);
    assert.deepEqual(await pinsOf(), former);
  });

  test('is asked for anew by a refresh, once; one that finds nothing new makes nothing', async () => {
    const { spec: now } = await w.app('web');
    await w.put(Application, 'web', now, { annotations: { [REFRESH_ANNOTATION]: 'first' } });
    assert.match(await textOf(await w.untilReleased('web', 4)), /"version":"1\.3\.0"/);
    assert.match((await notices())[0] ?? '', /resolved to 1\.3\.0 at/);
    await w.idle();
    w.looks.length = 0;
    await w.put(Application, 'web', now, { annotations: { [REFRESH_ANNOTATION]: 'second' } });
    await w.until(
      'the refresh to be kept',
      async () => (await w.get(RenderRow, { namespace: 'default', name: 'web' })).spec.refreshed === 'second',
    );
    charts.publish('redis', '1.4.0');
    await w.restart();
    await w.idle();
    assert.equal((await w.app('web')).status?.release?.number, 4, 'a refresh is not done twice');
    assert.equal(
      w.looks.reduce((sum, look) => sum + look.renders, 0),
      0,
    );
  });

  test('keeps the release when it cannot be asked for, and says why', async () => {
    charts.fault = 403;
    const { spec: now } = await w.app('web');
    await w.put(Application, 'web', now, { annotations: { [REFRESH_ANNOTATION]: 'third' } });
    assert.match(await w.untilReason('web', 'FL_SOURCE_DENIED'), /127\.0\.0\.1/);
    assert.equal((await w.app('web')).status?.release?.number, 4);
    charts.fault = undefined;
    await w.put(Application, 'web', now, { annotations: { [REFRESH_ANNOTATION]: 'fourth' } });
    assert.match(await textOf(await w.untilReleased('web', 5)), /"version":"1\.4\.0"/);
  });

  test('a version that has other content than before is refused by a refresh too', async () => {
    const { spec: now } = await w.app('web');
    await w.push({ 'charts/web/Chart.yaml': chartYaml('1.4.0') });
    await w.until('the exact version to be released', async () => (await notices()).length === 0);
    await w.idle();
    const number = (await w.app('web')).status?.release?.number;
    charts.publish('redis', '1.4.0', { 'values.yaml': 'replicas: 9\n' });
    await w.put(Application, 'web', now, { annotations: { [REFRESH_ANNOTATION]: 'fifth' } });
    assert.match(await w.untilReason('web', 'FL_SOURCE_MOVED'), /the chart redis 1\.4\.0 of .* is not what it was/);
    assert.equal((await w.app('web')).status?.release?.number, number);
  });

  test('a lock that is not of its Chart.yaml is used, and said', async () => {
    const lock = `dependencies:\n- {name: redis, version: 1.3.0, repository: "${charts.url}"}\ndigest: sha256:${'0'.repeat(64)}\n`;
    await w.push({ 'charts/web/Chart.yaml': chartYaml('1.x'), 'charts/web/Chart.lock': lock });
    await w.until('the locked version', async () => {
      const release = (await w.releases('web')).at(-1);
      return release !== undefined && (await textOf(release)).includes('"version":"1.3.0"');
    });
    assert.deepEqual(await notices(), [
      'charts/web/Chart.lock is out of sync with Chart.yaml; the versions that it locks are used; helm dependency update, and commit Chart.lock',
    ]);
  });
});

test('notes are kept for each cluster, without what is sealed to it', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('eu', {});
  await w.cluster('us', {});
  await w.git.commit(
    'fleet',
    {
      'charts/web/Chart.yaml': 'apiVersion: v2\nname: web\nversion: 1.0.0\n',
      'charts/web/values.yaml': 'password: ""\n',
      'charts/web/templates/secret.yaml':
        'apiVersion: v1\nkind: Secret\nmetadata: {name: p}\nstringData: {user: admin, password: "{{ .Values.password }}"}\n',
      'charts/web/templates/NOTES.txt':
        'Log in at {{ .Values.host }} with {{ .Values.password }} ({{ .Values.password | b64enc }}).\n',
    },
    'one',
  );
  await w.repository();
  await w.put(Application, 'web', {
    source,
    targets: [{ clusterSelector: {} }],
    defaultNamespace: 'web',
    render: { helm: { values: { host: '${cluster.name}.example.com', password: 'corr3ct-h0rse-${cluster.name}' } } },
  });
  await w.untilReleased('web', 1);
  const row = await w.get(RenderRow, { namespace: 'default', name: 'web' });
  const notes = row.spec.trees.flatMap((tree) => tree.groups.map((group) => group.notes ?? ''));
  assert.deepEqual(notes.sort(), [
    'Log in at eu.example.com with [redacted] ([redacted]).\n',
    'Log in at us.example.com with [redacted] ([redacted]).\n',
  ]);
  assert.ok(!JSON.stringify(row).includes('corr3ct'));
  // A commit elsewhere renders nothing and keeps them.
  const elsewhere = await w.push({ 'other.yaml': 'a: 1\n' });
  await w.until('the commit to be looked at', async () => (await w.app('web')).status?.commit === elsewhere);
  assert.deepEqual(
    (await w.get(RenderRow, { namespace: 'default', name: 'web' })).spec.trees
      .flatMap((tree) => tree.groups.map((group) => group.notes ?? ''))
      .sort(),
    notes,
  );
});
