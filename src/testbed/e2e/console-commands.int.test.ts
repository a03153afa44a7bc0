import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { Cluster, GitRepository } from '#api';
import { waitFor } from '#base';
import { testbedMissing, type GitContent } from '#testbed';
import { chromiumMissing, looks, newContext, startBrowser } from './browser.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing() === false ? chromiumMissing() : testbedMissing();
const patienceMs = 120_000;
let fleet: Fleet;
let browser: Browser;
let page: Page;
let commit: string;

const bad = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bad\ndata:\n  a: [1\n';
const many = (count: number): Record<string, GitContent> =>
  Object.fromEntries(
    Array.from({ length: 30 }, (_, n) => [
      `many/${n}.yaml`,
      n < count ? configMapYaml(`one-${n}`, { on: 'true' }) : { delete: true },
    ]),
  );

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { dev: { on: 'a', labels: { env: 'dev' } }, eu: { on: 'b', labels: { env: 'prod' } } },
  });
  await fleet.apply(Cluster, { name: 'far', labels: { env: 'prod' } }, {});
  // Only what is asked for: the repository is not looked at by itself while the test runs.
  await fleet.patch(GitRepository, { name: 'fleet', namespace: 'default' }, { spec: { interval: '1h' } });
  commit = await fleet.commit(
    {
      'web/settings.yaml': configMapYaml('settings', { greeting: 'hello' }),
      'alerts/rules.yaml': configMapYaml('rules', { level: 'high' }),
      'reports/bad.yaml': bad,
      'refused/bad.yaml': 'apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 99999}]}\n',
      'halted/one.yaml': configMapYaml('one', { a: '1' }),
      'taken/one.yaml': configMapYaml('taken', { a: '1' }),
      ...many(30),
    },
    'The first content',
  );
  const there = { targets: [{ clusterSelector: { matchLabels: { env: 'dev' } } }] };
  await fleet.application('web');
  await fleet.application('alerts', { ...there, drift: { mode: 'Alert' } });
  await fleet.application('reports', there);
  await fleet.application('refused', there);
  await fleet.application('many', there);
  await fleet.application('halted', { ...there, suspend: true });
  await fleet.application('nowhere', { targets: [{ clusterSelector: { matchLabels: { env: 'none' } } }] });
  // Somebody else's object of the same name is there before.
  const { handle } = fleet.member('dev');
  await handle.request('POST', '/api/v1/namespaces', { body: { metadata: { name: fleet.ns('taken') } } });
  await handle.apply(configMapYaml('taken', { a: '0' }), fleet.ns('taken'));
  await fleet.application('taken', { ...there, adoption: 'Never' });
  await fleet.ready('many', 'dev', undefined, patienceMs);
  await fleet.ready('alerts', 'dev', undefined, patienceMs);
  await fleet.reason('taken', 'dev', 'FL_CLAIM_EXISTS', patienceMs);
  await fleet.commit({ ...many(2) }, 'Most of many go');
  await fleet.reason('many', 'dev', 'FL_HOLD_BUDGET', patienceMs);
  await handle.kubectl(
    [
      'patch',
      'configmap',
      'rules',
      '-n',
      fleet.ns('alerts'),
      '--type=merge',
      '--field-manager=kubectl-edit',
      '-p',
      '{"data":{"level":"low"}}',
    ],
    {},
  );
  await fleet.reason('alerts', 'dev', 'FL_DRIFT_FOUND', patienceMs);
  await fleet.reason('refused', 'dev', 'FL_APPLY_INVALID', patienceMs);
  browser = await startBrowser();
  const context = await newContext(browser, looks[0]);
  context.setDefaultTimeout(patienceMs);
  page = await context.newPage();
  const token = readFileSync(join(fleet.planeDir, 'keys', 'admin-token'), 'utf8').trim();
  await page.goto(`${fleet.consoleUrl}/login#${token}`);
  await page.waitForURL(`${fleet.consoleUrl}/`);
});

after(async () => {
  await browser?.close();
  await fleet?.[Symbol.asyncDispose]();
});

async function commandsOn(path: string): Promise<readonly string[]> {
  await page.goto(fleet.consoleUrl + path);
  await page.getByText('The same in a terminal').waitFor();
  await page.locator('.command code').first().waitFor();
  return page.locator('.command code').allTextContents();
}

/** The action that the first screen offers for this reason, once it does. */
async function actionFor(words: string): Promise<string> {
  await page.goto(`${fleet.consoleUrl}/`);
  const action = page.locator('.problem').filter({ hasText: words }).locator('.command code');
  await action.waitFor();
  assert.equal(await action.count(), 1, 'one action');
  return (await action.textContent()) ?? '';
}

async function paste(command: string): Promise<string> {
  const { exitCode, stdout, stderr } = await fleet.shell(command);
  assert.equal(exitCode, 0, `${command}: ${stdout.toString()}${stderr}`);
  return stdout.toString();
}

test('each command of each view works as it is when it is pasted', { skip }, async () => {
  const rules = `/d/default/alerts/dev/objects/ConfigMap.v1/${fleet.ns('alerts')}/rules`;
  const found = new Map<string, string>();
  for (const path of [
    '/',
    '/?group=env&where=env+in+(prod,dev)',
    '/applications',
    '/applications?where=!legacy',
    '/clusters',
    '/clusters?where=env!%3Dprod',
    '/changes',
    '/activity',
    '/activity?project=default&application=alerts&cluster=dev&type=Warning',
    '/activity?cluster=dev',
    '/a/default/web',
    '/c/dev',
    '/c/far',
    '/d/default/alerts/dev',
    '/d/default/many/dev',
    '/d/default/reports/dev',
    rules,
    `/commits/${commit}`,
  ]) {
    const commands = await commandsOn(path);
    assert.ok(commands.length > 0, path);
    for (const command of commands) found.set(command, path);
  }
  const failed: string[] = [];
  for (const [command, path] of found) {
    // What changes something has tests of its own.
    if (/^kubectl (patch|annotate)|^fairlead (resume|reconcile)/.test(command)) continue;
    const { exitCode, stderr } = await fleet.shell(command);
    // 3 is the answer "not what Git says" of fairlead.
    if (exitCode !== 0 && !(command.startsWith('fairlead ') && exitCode === 3))
      failed.push(`${path}: ${command}: exit ${exitCode}: ${stderr}`);
  }
  assert.deepEqual(failed, []);
  assert.ok(found.size > 25, [...found.keys()].join('\n'));
});

test('what is suspended is resumed by its action', { skip }, async () => {
  await paste(await actionFor('application/halted is suspended'));
  await fleet.ready('halted', 'dev', undefined, patienceMs);
});

test('after a correction the action has the source looked at now, which nobody else does for an hour', { skip }, async () => {
  const action = await actionFor('reports/bad.yaml:5');
  await fleet.git.commit('fleet', { 'reports/bad.yaml': configMapYaml('good', { a: '1' }) }, 'Correct the report');
  await paste(action);
  await fleet.ready('reports', 'dev', undefined, patienceMs);
});

test('what the cluster refused is applied after its correction', { skip }, async () => {
  const action = await actionFor('Service "web" is invalid');
  await fleet.git.commit('fleet', { 'refused/bad.yaml': configMapYaml('good', { a: '1' }) }, 'Correct the service');
  await paste(action);
  await fleet.ready('refused', 'dev', undefined, patienceMs);
});

test('a removal over its budget goes on by the waiver of its action', { skip }, async () => {
  await paste(await actionFor('would delete 28'));
  await fleet.ready('many', 'dev', undefined, patienceMs);
  await waitFor('the objects to be gone', async () => (await fleet.configMap('dev', fleet.ns('many'), 'one-9')) === undefined, {
    timeoutMs: patienceMs,
  });
});

test('drift is put back by its action', { skip }, async () => {
  await paste(await actionFor('.data.level changed by kubectl-edit'));
  await fleet.ready('alerts', 'dev', undefined, patienceMs);
  assert.equal((await fleet.configMap('dev', fleet.ns('alerts'), 'rules'))?.data?.['level'], 'high');
});

test('an object that exists already is taken over by its action', { skip }, async () => {
  await paste(await actionFor('exists in dev already'));
  await fleet.ready('taken', 'dev', undefined, patienceMs);
  assert.equal((await fleet.configMap('dev', fleet.ns('taken'), 'taken'))?.data?.['a'], '1');
});

test(
  'a cluster without an agent gets its join token, and targets that match nothing are compared with the labels',
  { skip },
  async () => {
    assert.match(await paste(await actionFor('no agent has joined far')), /fl1\./);
    const labels = await paste(await actionFor('no cluster matches the targets'));
    assert.match(labels, /env=prod/);
    // All that is left waits for a person outside of the plane.
    await page.goto(`${fleet.consoleUrl}/`);
    await waitFor('the other problems to be gone', async () => (await page.locator('.problem').count()) === 2, {
      timeoutMs: patienceMs,
    });
  },
);
