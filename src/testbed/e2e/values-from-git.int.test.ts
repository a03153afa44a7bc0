import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Application, ChartRepository, Credential, GitRepository, RECONCILE_ANNOTATION, Release, type CommitView } from '#api';
import { newUid, systemClock, waitFor } from '#base';
import { startRegistry, testbedMissing, type GitContent, type RegistryServer } from '#testbed';
import { packChart } from '../../plane/sources/charts/testing/pack.ts';
import { createPki } from '../pki.ts';
import { chromiumMissing, looks, newContext, screenshot, startBrowser, Watchdog } from './browser.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
const password = 's3cret-Passw0rd-of-web';
const chart = {
  'values.yaml': 'level: none\npassword: ""\n',
  'templates/config.yaml':
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {level: "{{ .Values.level }}", chart: "{{ .Chart.Version }}"}\n',
  'templates/secret.yaml':
    'apiVersion: v1\nkind: Secret\nmetadata: {name: web}\nstringData: {password: "{{ .Values.password }}"}\n',
  'templates/NOTES.txt': 'Level {{ .Values.level }}.\nThe password is {{ .Values.password }}.\n<img src=x onerror="fail()">\n',
};
let fleet: Fleet;
let registry: RegistryServer;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { dev: { on: 'a', labels: { env: 'dev' } }, prod: { on: 'b', labels: { env: 'prod' } } },
  });
  const pki = await createPki('registry', systemClock.now());
  const auth = { username: 'reader', password: 'pass-w0rd' };
  registry = await startRegistry({ dir: join(fleet.dir, 'registry'), tls: { key: pki.serverKey, cert: pki.serverCert }, auth });
  await registry.pushChart('charts/web', '1.0.0', packChart('web', '1.0.0', chart));
  const charts = { name: 'charts', namespace: 'default' };
  await fleet.apply(Credential, charts, { type: 'basic', stringData: { ...auth, ca: pki.caCert } });
  await fleet.apply(ChartRepository, charts, {
    url: `oci://${registry.host}/charts`,
    interval: '5s',
    credential: { name: 'charts' },
  });
  await fleet.git.createRepo('values');
  await commitValues({ 'envs/dev.yaml': `level: debug\npassword: ${password}\n`, 'envs/prod.yaml': 'level: info\n' }, 'Levels');
  await fleet.apply(
    GitRepository,
    { name: 'values', namespace: 'default' },
    { url: fleet.git.repoUrl('values'), interval: '1h' },
  );
});
after(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

async function commitValues(files: Readonly<Record<string, GitContent>>, message: string): Promise<string> {
  const commit = await fleet.git.commit('values', files, message);
  const metadata = { annotations: { [RECONCILE_ANNOTATION]: newUid() } };
  await fleet.patch(GitRepository, { name: 'values', namespace: 'default' }, { metadata }).catch(() => undefined);
  return commit;
}

async function levelOn(cluster: string): Promise<string | undefined> {
  return (await fleet.configMap(cluster, fleet.ns('web'), 'web'))?.data?.['level'];
}

function until<T>(what: string, probe: () => Promise<T | undefined | false>): Promise<T> {
  return waitFor(what, probe, { timeoutMs: 60_000, intervalMs: 200 });
}

/** Waits for a release of that commit of the values, everywhere. */
async function delivered(commit: string): Promise<Release> {
  const release = await until(`a release of ${commit.slice(0, 8)}`, async () => {
    const app = await fleet.get(Application, { namespace: 'default', name: 'web' });
    if (app?.status?.files?.[0]?.commit !== commit) throw new Error(JSON.stringify(app?.status));
    return fleet.get(Release, { namespace: 'default', name: app.status.release?.name ?? '' });
  });
  for (const cluster of ['dev', 'prod']) await fleet.ready('web', cluster);
  return release;
}

test('a chart of a registry has its values from Git, and every surface names both commits', { skip }, async () => {
  await fleet.application('web', {
    source: {
      sourceRef: { kind: 'ChartRepository', name: 'charts' },
      chart: 'web',
      version: '1.x',
      files: [{ sourceRef: { kind: 'GitRepository', name: 'values' }, path: 'envs', at: 'values' }],
    },
    render: { helm: { valueFiles: ['values/${cluster.labels.env}.yaml'] } },
  });
  for (const cluster of ['dev', 'prod']) await fleet.ready('web', cluster, undefined, 90_000);
  assert.deepEqual([await levelOn('dev'), await levelOn('prod')], ['debug', 'info']);

  const commit = await commitValues({ 'envs/prod.yaml': 'level: warn\n', 'README.md': 'x' }, 'Less on prod');
  const release = await delivered(commit);
  assert.deepEqual([await levelOn('dev'), await levelOn('prod')], ['debug', 'warn']);
  assert.deepEqual(
    release.spec.source.files?.map(({ name, path, at, commit: of }) => ({ name, path, at, of })),
    [{ name: 'values', path: 'envs', at: 'values', of: commit }],
  );

  const why = await fleet.cli(['why', 'web', 'prod']);
  assert.match(why.stdout.toString(), new RegExp(`wanted:  ${release.metadata.name} \\([0-9a-f]{10} web 1\\.0\\.0\\)\\n`));
  assert.match(
    why.stdout.toString(),
    new RegExp(`with:    values/ from envs of values \\(${commit.slice(0, 10)} Less on prod\\)\\n`),
  );
  const page = await fleet.view<CommitView>(`commits/${commit}`);
  assert.equal(page.subject, 'Less on prod');
  assert.deepEqual(
    page.releases.map((one) => [
      one.release,
      one.changedClusters,
      one.objects.map(({ id }) => `${id.kind}/${id.name}`),
      one.diff,
    ]),
    [[release.metadata.name, 1, ['ConfigMap/web'], `--files values=${commit}`]],
  );
});

test('fairlead diff renders a branch of the values, and refuses a directory that is none of them', { skip }, async () => {
  const parent = (await fleet.git.git('values', ['rev-parse', 'refs/heads/main'])).trim();
  await fleet.git.commit('values', { 'envs/dev.yaml': 'level: trace\n' }, 'Trace', { branch: 'trace', parent });
  const answer = await fleet.cli(['diff', 'web', '--files', 'values=trace']);
  assert.equal(answer.exitCode, 3, answer.stderr);
  assert.match(answer.stdout.toString(), /values from values [0-9a-f]{10} against web\.\d+/);
  assert.match(answer.stdout.toString(), /dev: 2 objects[^]*\+ \.data\.level: "trace"[^]*prod: no change/);
  assert.equal((await fleet.cli(['diff', 'web', '--files', 'other=trace'])).exitCode, 1);
});

test('notes are shown for each cluster as text, without what is sealed', { skip }, async () => {
  const answer = await fleet.cli(['notes', 'web', 'dev']);
  assert.equal(answer.exitCode, 0, answer.stderr);
  assert.match(
    answer.stdout.toString(),
    /^dev \(web\.\d+\):\n {2}Level debug\.\n {2}The password is \[redacted\]\.\n {2}<img src=x/,
  );
  assert.match((await fleet.cli(['notes', 'web'])).stdout.toString(), /prod \(web\.\d+\):\n {2}Level warn\./);
});

test('the console shows notes and both commits', { skip: skip === false ? chromiumMissing() : skip }, async () => {
  const browser = await startBrowser();
  try {
    const context = await newContext(browser, looks[0]);
    const page = await context.newPage();
    const dog = new Watchdog();
    dog.watch(page, fleet.consoleUrl);
    const token = readFileSync(join(fleet.planeDir, 'keys', 'admin-token'), 'utf8').trim();
    await page.goto(`${fleet.consoleUrl}/login#${token}`);
    await page.waitForURL(`${fleet.consoleUrl}/`);
    await page.goto(`${fleet.consoleUrl}/d/default/web/dev`);
    await page.getByText('The password is [redacted].').waitFor();
    assert.equal(await page.locator('.notes img').count(), 0, 'text, and never markup');
    await screenshot(page, 'delivery-with-notes');
    await page.locator('.way').getByText('with values').waitFor();
    await page.goto(`${fleet.consoleUrl}/a/default/web`);
    await page
      .getByRole('link', { name: /^[0-9a-f]{10}$/ })
      .nth(1)
      .waitFor();
    await screenshot(page, 'application-with-files');
    assert.deepEqual(dog.complaints, []);
  } finally {
    await browser.close();
  }
});

test('while the values cannot be rendered, what is delivered stays, and the reason names them', { skip }, async () => {
  await commitValues({ 'envs/dev.yaml': 'level: [\n' }, 'Broken');
  const sentence = await fleet.reason('web', 'dev', 'FL_RENDER_FAILED');
  assert.match(sentence, /^values\/dev\.yaml:\d+: the value file cannot be read/);
  await registry.pushChart('charts/web', '1.1.0', packChart('web', '1.1.0', chart));
  assert.deepEqual([await levelOn('dev'), await levelOn('prod')], ['debug', 'warn']);
  const commit = await commitValues({ 'envs/dev.yaml': `level: debug\npassword: ${password}\n` }, 'Mended');
  await delivered(commit);
  await until('the new version of the chart', async () => {
    const map = await fleet.configMap('prod', fleet.ns('web'), 'web');
    return map?.data?.['chart'] === '1.1.0' || undefined;
  });
});

test('a dependency that is not locked moves by fairlead reconcile --refresh, and by nothing else', { skip }, async () => {
  await registry.pushChart('charts/cache', '3.1.0', packChart('cache', '3.1.0'));
  await fleet.commit({
    'umbrella/Chart.yaml':
      'apiVersion: v2\nname: umbrella\nversion: 0.1.0\ndependencies:\n- {name: cache, version: 3.x, repository: "@charts"}\n',
  });
  await fleet.application('umbrella');
  await fleet.ready('umbrella', 'dev', undefined, 90_000);
  const version = async (): Promise<string | undefined> =>
    (await fleet.configMap('dev', fleet.ns('umbrella'), 'cache'))?.data?.['version'];
  await registry.pushChart('charts/cache', '3.2.0', packChart('cache', '3.2.0'));
  const commit = await fleet.commit({ 'umbrella/templates/own.yaml': configMapYaml('own', { a: '1' }) });
  await fleet.ready('umbrella', 'dev', commit);
  assert.equal(await version(), '3.1.0');
  const why = (await fleet.cli(['why', 'umbrella'])).stdout.toString();
  assert.match(
    why,
    /note: chart cache 3\.x from @charts resolved to 3\.1\.0 at .*fairlead reconcile application\/umbrella --refresh/,
  );
  assert.equal((await fleet.cli(['diff', 'umbrella'])).exitCode, 0);
  assert.match((await fleet.cli(['diff', 'umbrella', '--refresh'])).stdout.toString(), /\+ \.data\.version: "3\.2\.0"/);
  assert.equal((await fleet.cli(['reconcile', 'umbrella', '--refresh'])).exitCode, 0);
  await until('the newer dependency', async () => (await version()) === '3.2.0' || undefined);
});
