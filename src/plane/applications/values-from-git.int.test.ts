import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '#base';
import { Application, ChartRepository, GitRepository, Project, Release } from '#api';
import type { GitContent } from '#testbed';
import { deliveredCommits } from '../sources/delivered-commits.ts';
import { sshSigner } from '../sources/testing/signers.ts';
import { previewCommit, type PreviewQuery } from './preview.ts';
import { ChartServer, World } from './testing/world.ts';

const template =
  'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {level: "{{ .Values.level }}", size: "{{ .Values.size }}"}\n';
const chart = { 'values.yaml': 'level: none\nsize: none\n', 'templates/config.yaml': template };

/** A chart from a repository, its value files from Git: `values/<env>.yaml`. */
describe('value files of a chart come from a Git repository beside it', () => {
  let w: World;
  let charts: ChartServer;
  const files = { sourceRef: { kind: 'GitRepository' as const, name: 'values' }, path: 'envs', at: 'values' };
  const source = {
    sourceRef: { kind: 'ChartRepository' as const, name: 'charts' },
    chart: 'web',
    version: '1.x',
    files: [files],
  };
  const spec: Application['spec'] = {
    source,
    targets: [{ clusterSelector: {} }],
    defaultNamespace: 'web',
    render: { helm: { valueFiles: ['values/common.yaml', 'values/${cluster.labels.env}.yaml'] } },
  };
  let number = 0;
  let newest: Release;
  const next = async (): Promise<Release> => {
    number += 1;
    newest = await w.until(`release ${number}`, async () => {
      const release = await w.store.get(Release, { namespace: 'default', name: `web.${number}` });
      if (release === undefined) throw new Error(`the status is ${JSON.stringify((await w.app('web')).status)}`);
      return release;
    });
    return newest;
  };
  const textOf = async (cluster: string): Promise<string> => {
    const digest = newest.spec.bundles.find((one) => one.clusters.includes(cluster))?.digest ?? '';
    const bundle = JSON.parse(String(Buffer.from((await w.store.blobs([digest])).get(digest) ?? []))) as {
      entries: { digest: string; source: { file: string } }[];
    };
    const [entry] = bundle.entries;
    assert.equal(entry?.source.file, 'web/templates/config.yaml');
    return Buffer.from((await w.store.blobs([entry.digest])).get(entry.digest) ?? []).toString();
  };
  const commitValues = async (given: Record<string, GitContent>, message: string, branch?: string): Promise<string> => {
    const commit = await w.git.commit('values', given, message, branch === undefined ? {} : { branch });
    w.look('values');
    return commit;
  };
  const settled = async (commit: string): Promise<void> => {
    await w.until('the commit to be looked at', async () => (await w.app('web')).status?.files?.[0]?.commit === commit);
    await w.idle();
  };
  const renders = (): number => w.looks.splice(0).reduce((sum, look) => sum + look.renders, 0);
  const preview = async (query: PreviewQuery) => {
    const found = await previewCommit(
      {
        read: w.store,
        renderer: w.renderer,
        openSnapshot: w.openSnapshot,
        derive: () => Buffer.alloc(32),
        resolve: (one, wanted, signal) => {
          const context = { read: w.store, clock: systemClock, signal };
          return one.kind === 'ChartRepository'
            ? w.charts.resolve(one, wanted, context)
            : w.sources.resolve(one, wanted.ref, context);
        },
      },
      { namespace: 'default', name: 'web' },
      query,
      AbortSignal.timeout(30_000),
    );
    assert.ok(found !== undefined);
    return found;
  };

  before(async () => {
    charts = await ChartServer.start();
    charts.publish('web', '1.0.0', chart);
    w = await World.start();
    await w.project();
    await w.git.createRepo('values');
    await w.cluster('dev', { env: 'dev' });
    await w.cluster('prod', { env: 'prod' });
    await w.git.commit('values', { 'envs/common.yaml': 'size: small\n', 'envs/dev.yaml': 'level: debug\n' }, 'one');
    await w.git.commit('values', { 'envs/prod.yaml': 'level: info\n', 'other/dev.yaml': 'level: no\n' }, 'Levels');
    await w.put(GitRepository, 'values', { url: w.git.repoUrl('values'), interval: '1h' });
    await w.put(ChartRepository, 'charts', { url: charts.url, interval: '1h' });
  });
  after(async () => {
    await w[Symbol.asyncDispose]();
    await charts[Symbol.asyncDispose]();
  });

  test('each cluster has the values of its file, and the Release names both sources', async () => {
    await w.put(Application, 'web', spec);
    const release = await next();
    assert.match(await textOf('dev'), /"level":"debug","size":"small"/);
    assert.match(await textOf('prod'), /"level":"info","size":"small"/);
    const { kind, name, version, commit, files: others } = release.spec.source;
    assert.deepEqual([kind, name, version, commit.length], ['ChartRepository', 'charts', '1.0.0', 64]);
    assert.deepEqual(
      others?.map((one) => [one.kind, one.name, one.path, one.at, one.subject, one.commit.length]),
      [['GitRepository', 'values', 'envs', 'values', 'Levels', 40]],
    );
    const { status } = await w.app('web');
    assert.equal(status?.commit, commit);
    assert.deepEqual(status?.files, [{ at: 'values', commit: others?.[0]?.commit }]);
  });

  test('a commit renders only the clusters whose file it touches, and none when it touches none', async () => {
    await w.idle();
    renders();
    await commitValues({ 'envs/dev.yaml': 'level: trace\n' }, 'Trace on dev');
    const release = await next();
    assert.match(await textOf('dev'), /"level":"trace"/);
    assert.equal(release.spec.source.files?.[0]?.subject, 'Trace on dev');
    await w.idle();
    assert.equal(renders(), 1, 'only dev');
    await settled(await commitValues({ 'README.md': 'x', 'envs/stage.yaml': 'level: stage\n' }, 'Elsewhere'));
    assert.equal(renders(), 0);
    assert.equal((await w.app('web')).status?.release?.number, number);
  });

  test('a new version of the chart is rendered with the values as they are', async () => {
    charts.publish('web', '1.1.0', {
      ...chart,
      'templates/config.yaml': `${template}  \n# 1.1\n`.replace('name: web', 'name: web, labels: {v: "1.1"}'),
    });
    w.charts.requestLook('default/charts');
    const release = await next();
    assert.equal(release.spec.source.version, '1.1.0');
    assert.match(await textOf('dev'), /"level":"trace".*"v":"1\.1"/);
  });

  test('a preview shows another branch of the values without anything following it', async () => {
    const parent = newest.spec.source.files?.[0]?.commit ?? '';
    await w.git.commit('values', { 'envs/prod.yaml': 'level: error\n' }, 'Less on prod', { branch: 'quiet', parent });
    const found = await preview({ files: new Map([['values', 'quiet']]) });
    assert.deepEqual(found.errors, []);
    assert.deepEqual(
      found.groups.map(({ clusters, changes }) => [clusters, changes.length]),
      [
        [['prod'], 1],
        [['dev'], 0],
      ],
    );
    assert.equal(found.files[0]?.subject, 'Less on prod');
    await assert.rejects(preview({ files: new Map([['charts', 'quiet']]) }), /has no charts in spec\.source\.files/);
  });

  test('a value file that cannot be read keeps the release, and the reason names it', async () => {
    await commitValues({ 'envs/dev.yaml': 'level: [\n' }, 'Broken');
    assert.match(await w.untilReason('web', 'FL_RENDER_FAILED'), /^values\/dev\.yaml:\d+: the value file cannot be read/);
    assert.equal((await w.app('web')).status?.release?.number, number);
    await settled(await commitValues({ 'envs/dev.yaml': 'level: trace\n' }, 'Mended'));
    assert.equal((await w.app('web')).status?.release?.number, number, 'it is what it was');
    assert.equal((await w.app('web')).status?.reason, undefined);
  });

  test('another branch is followed where the entry names one', async () => {
    await w.put(Application, 'web', { ...spec, source: { ...source, files: [{ ...files, ref: { branch: 'quiet' } }] } });
    const release = await next();
    assert.equal(release.spec.source.files?.[0]?.subject, 'Less on prod');
    assert.match(await textOf('prod'), /"level":"error"/);
    await commitValues({ 'envs/prod.yaml': 'level: fatal\n' }, 'Still less', 'quiet');
    await next();
    assert.match(await textOf('prod'), /"level":"fatal"/);
    await w.put(Application, 'web', spec);
    await next();
  });

  test('a link out of the directory, a directory that is not there and one that the chart has are refused', async () => {
    const { commit } = newest.spec.source.files?.[0] ?? {};
    await w.put(Application, 'web', { ...spec, source: { ...source, files: [{ ...files, path: 'nowhere' }] } });
    assert.match(
      await w.untilReason('web', 'FL_RENDER_NO_PATH'),
      /^nowhere does not exist in GitRepository values at [0-9a-f]{12}/,
    );
    await w.put(Application, 'web', { ...spec, source: { ...source, files: [{ ...files, at: 'web/templates' }] } });
    assert.match(
      await w.untilReason('web', 'FL_SOURCE_FILES_TAKEN'),
      /cannot be at web\/templates: the chart web 1\.1\.0 has something there/,
    );
    await w.put(Application, 'web', spec);
    await commitValues({ 'envs/dev.yaml': { symlink: '../other/dev.yaml' } }, 'A link');
    assert.match(await w.untilReason('web', 'FL_SOURCE_FILE'), /envs\/dev\.yaml is a symbolic link/);
    await w.git.git('values', ['update-ref', 'refs/heads/main', commit ?? '']);
    w.look('values');
    await settled(commit ?? '');
    assert.equal((await w.app('web')).status?.reason, undefined);
    assert.equal((await w.app('web')).status?.release?.number, number);
  });

  test('what the project may not read, and what is not signed as its source asks, is not rendered; the reason says which', async () => {
    const url = w.git.repoUrl('values');
    await w.put(Project, 'default', {
      sources: [`${charts.url}/**`],
      clusterSelector: {},
      serviceAccount: { agentIdentity: true },
    });
    assert.match(await w.untilReason('web', 'FL_SOURCE_FORBIDDEN'), new RegExp(`default may not use ${url}`));
    assert.equal((await w.app('web')).status?.release?.number, number, 'what is delivered stays');
    await w.put(Project, 'default', { sources: ['**'], clusterSelector: {}, serviceAccount: { agentIdentity: true } });
    await using signer = await sshSigner(join(w.dir, 'keys'), 'alice');
    const verify = { allowedSigners: `${signer.publicKey}\n` };
    await w.put(GitRepository, 'values', { url, interval: '1h', verify });
    assert.match(await w.untilReason('web', 'FL_SOURCE_UNVERIFIED'), new RegExp(`of ${url}\\) is not accepted`));
    charts.publish('web', '1.2.0', {
      ...chart,
      'templates/config.yaml': template.replace('name: web', 'name: web, labels: {v: "1.2"}'),
    });
    w.charts.requestLook('default/charts');
    await w.until('the new version to be known', async () => {
      const status = (await w.store.get(ChartRepository, { namespace: 'default', name: 'charts' }))?.status;
      return status?.charts?.[0]?.snapshot?.version === '1.2.0';
    });
    await w.idle();
    assert.equal((await w.app('web')).status?.release?.number, number, 'no chart is rendered with values that nobody signed');
    const signed = await signer.commit(w.git, 'values', 'Signed');
    w.look('values');
    const release = await next();
    assert.equal(release.spec.source.files?.[0]?.commit, signed);
    assert.equal(release.spec.source.version, '1.2.0');
  });

  test('a source that is gone is named, and commits that were delivered are kept', async () => {
    const repository = await w.get(GitRepository, { namespace: 'default', name: 'values' });
    const kept = await deliveredCommits(repository, w.store);
    const all = (await w.releases('web')).map(({ spec: { source: one } }) => one.files?.[0]?.commit ?? '');
    assert.ok(all.length > 4);
    assert.deepEqual([...kept].sort(), [...new Set(all)].sort());
    await w.remove(GitRepository, 'values');
    assert.match(await w.untilReason('web', 'FL_SOURCE_MISSING'), /^GitRepository values does not exist/);
    assert.equal((await w.app('web')).status?.release?.number, number);
  });
});
