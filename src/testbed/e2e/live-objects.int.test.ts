import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser } from 'playwright-core';
import type { ActivityView, DeliveryView, LiveObjectView, ObjectView } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { chromiumMissing, looks, newContext, screenshot, startBrowser, Watchdog } from './browser.ts';
import { configMapYaml, Fleet } from './fleet.ts';

/** A person looks at an object in its cluster: through the plane, the held sync of the agent, and back. */

const skip = testbedMissing();
const skipInBrowser = skip === false ? chromiumMissing() : skip;
const CANARY = 'canary-live-secret-qz';
const LIVE_ONLY = 'canary-live-only-qz';
const patient = { timeoutMs: 60_000, intervalMs: 50 };
let fleet: Fleet;
let browser: Browser | undefined;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { eu: { on: 'b' } },
    planeArgs: ['--log-level', 'debug'],
    agentArgs: ['--log-level', 'debug'],
  });
  await fleet.commit({
    'shop/rules.yaml': configMapYaml('rules', { level: 'high', color: 'blue' }),
    'shop/gone.yaml': configMapYaml('gone', { a: '1' }),
    'shop/keys.yaml': `apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {password: ${CANARY}, user: ${CANARY}-u}\n`,
    'shop/web.yaml': [
      'apiVersion: apps/v1',
      'kind: Deployment',
      'metadata: {name: web}',
      'spec:',
      '  replicas: 1',
      '  selector: {matchLabels: {app: web}}',
      '  template:',
      '    metadata: {labels: {app: web}}',
      '    spec:',
      '      containers:',
      '        - name: web',
      '          image: registry.invalid/web:1',
      '          env: [{name: GREETING, value: hello}, {name: COLOR, value: blue}]',
      '',
    ].join('\n'),
  });
  await fleet.application('shop', { drift: { mode: 'Alert' } });
  await fleet.ready('shop', 'eu');
});

after(async () => {
  await browser?.close();
  await fleet?.[Symbol.asyncDispose]();
});

function path(kind: string, name: string, group = ''): string {
  const query = new URLSearchParams({ group, kind, namespace: fleet.ns('shop'), name });
  return `deliveries/default/shop/eu/object/live?${query.toString()}`;
}

const live = (kind: string, name: string, group?: string): Promise<LiveObjectView> => fleet.view(path(kind, name, group));

function textOf(view: LiveObjectView): string {
  return (view.live ?? []).map((line) => line.text).join('\n');
}

async function edit(kind: string, name: string, patch: unknown): Promise<void> {
  const args = [
    'patch',
    kind,
    name,
    '-n',
    fleet.ns('shop'),
    '--type=merge',
    '--field-manager=kubectl-edit',
    '-p',
    JSON.stringify(patch),
  ];
  const result = await fleet.member('eu').handle.kubectl(args);
  assert.equal(result.exitCode, 0, result.stderr);
}

/** What the agent reports of the object, as `fairlead why` tells it. */
async function reported(name: string): Promise<string> {
  return waitFor(
    `${name} to be reported as drifted`,
    async () => {
      const view = await fleet.view<DeliveryView>('deliveries/default/shop/eu');
      return view.objects.find((row) => row.id.name === name && row.state === 'drifted')?.sentence;
    },
    patient,
  );
}

test('an object as it is, within a second: every field of Git is so, the rest is there beside it', { skip }, async () => {
  const times: number[] = [];
  let view = await live('Deployment', 'web', 'apps');
  for (let round = 0; round < 5; round += 1) {
    const startedAt = performance.now();
    view = await live('Deployment', 'web', 'apps');
    times.push(performance.now() - startedAt);
    // What was seen half a second ago would be given again.
    await waitFor('another look to be due', () => performance.now() - startedAt > 700, patient);
  }
  process.stdout.write(`# looks took ${times.map((ms) => Math.round(ms)).join(', ')} ms\n`);
  assert.equal(view.state, 'same', view.sentence);
  assert.ok(Math.min(...times) < 1000);
  const isGit = (text: string): boolean | undefined => view.live?.find((line) => line.text.trim() === text)?.isGit;
  assert.equal(isGit('image: registry.invalid/web:1'), true);
  assert.equal(isGit('replicas: 1'), true);
  assert.equal(isGit('terminationGracePeriodSeconds: 30'), false, 'a default of the server');
  assert.equal(isGit('status:'), false);
  assert.ok(!textOf(view).includes('managedFields'));
});

test(
  'a drifted field is the same in the report, the view and the command line, with both values and who wrote it',
  { skip },
  async () => {
    await edit('configmap', 'rules', { data: { level: `<img src=x onerror=alert(1)> ${LIVE_ONLY}` } });
    const sentence = await reported('rules');
    const view = await live('ConfigMap', 'rules');
    assert.equal(view.state, 'differs');
    assert.deepEqual(
      view.differences.map(({ path: field, want, manager, verdict }) => ({ field, want, manager, verdict })),
      [{ field: '.data.level', want: '"high"', manager: 'kubectl-edit', verdict: 'drift' }],
    );
    assert.ok(sentence.includes('.data.level') && sentence.includes('kubectl-edit'), sentence);
    const result = await fleet.cli(['live', 'shop', 'eu', 'ConfigMap/rules']);
    assert.equal(result.exitCode, 3, result.stderr);
    const said = result.stdout.toString();
    assert.match(said, /^# not what release shop\.\d+ says in eu: one field\n# seen /);
    assert.match(said, /^# ~ \.data\.level  by kubectl-edit, \d+s ago\n#     - "high"\n#     \+ "<img/m);
    assert.match(said, /^ {2}color: blue$/m);
    const wrong = await fleet.cli(['live', 'shop', 'eu', 'ConfigMap/rulez']);
    assert.equal(wrong.exitCode, 2);
    assert.match(wrong.stderr, /names no object of shop on eu; write KIND\/NAME/);
  },
);

test('of a Secret the keys, and that one differs: no value leaves the cluster', { skip }, async () => {
  await edit('secret', 'keys', { stringData: { password: `${CANARY}-2` } });
  await reported('keys');
  const view = await live('Secret', 'keys');
  assert.equal(view.state, 'differs');
  assert.deepEqual(
    view.differences.map((one) => [one.path, one.want, one.live]),
    [['.data.password', '[redacted]', '[redacted]']],
  );
  assert.match(textOf(view), /password: '\[redacted\]'/);
  assert.match(view.wanted ?? '', /user: '\[redacted\]'/);
});

test('an object that is gone is said to be gone', { skip }, async () => {
  await fleet.member('eu').handle.kubectl(['delete', 'configmap', 'gone', '-n', fleet.ns('shop')]);
  const view = await live('ConfigMap', 'gone');
  assert.deepEqual([view.state, view.live], ['absent', undefined]);
  assert.equal((await fleet.cli(['live', 'shop', 'eu', 'configmap/gone'])).exitCode, 3);
});

test('an object that the delivery does not want cannot be asked for', { skip }, async () => {
  for (const one of [path('ConfigMap', 'kube-root-ca.crt'), path('Secret', 'rules'), path('Node', '')])
    await assert.rejects(fleet.view(one), /does not exist/);
});

test('nothing of a look stays: not in the database, not in a log, not in the activity', { skip }, async () => {
  const looked = textOf(await live('ConfigMap', 'rules'));
  assert.ok(looked.includes(LIVE_ONLY));
  const activity = await fleet.view<ActivityView>('activity?limit=200');
  assert.ok(!/look|live object/i.test(JSON.stringify(activity.items.map((item) => item.code + item.sentence))));
  for (const file of filesIn(fleet.planeDir)) {
    const bytes = readFileSync(file).toString('latin1');
    assert.ok(!bytes.includes(LIVE_ONLY) && !bytes.includes(Buffer.from(LIVE_ONLY).toString('base64').slice(0, 16)), file);
  }
  const logs = readFileSync(join(fleet.dir, 'plane.log'), 'utf8') + readFileSync(join(fleet.dir, 'agent-eu.log'), 'utf8');
  assert.ok(!logs.includes(LIVE_ONLY) && !logs.includes(CANARY));
  assert.match(logs, /"was asked to show a live object"/, 'the agent says whom it showed what');
  assert.match(logs, /"by":"admin\//);
});

function filesIn(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((name) => statSync(name).isFile());
}

test(
  'the page: wanted, live and the difference, by keyboard and in words; what an agent sends is text and nothing else',
  { skip: skipInBrowser, timeout: 600_000 },
  async () => {
    browser = await startBrowser();
    const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    const token = readFileSync(join(fleet.planeDir, 'keys', 'admin-token'), 'utf8').trim();
    await edit('deployment', 'web', { spec: { replicas: 3, template: { metadata: { labels: { added: 'by-hand' } } } } });
    await reported('web');
    const page = (kind: string, name: string): string =>
      `${fleet.consoleUrl}/d/default/shop/eu/objects/${kind}/${fleet.ns('shop')}/${name}`;
    const pages = [
      ['Deployment.v1.apps', 'web', '.spec.replicas'],
      ['Secret.v1', 'keys', '.data.password'],
      ['ConfigMap.v1', 'rules', '.data.level'],
      ['ConfigMap.v1', 'gone', undefined],
    ] as const;
    for (const look of looks) {
      const context = await newContext(browser, look);
      context.setDefaultTimeout(60_000);
      const tab = await context.newPage();
      const watchdog = new Watchdog();
      watchdog.watch(tab, fleet.consoleUrl);
      await tab.goto(`${fleet.consoleUrl}/login#${token}`);
      await tab.waitForURL(`${fleet.consoleUrl}/`);
      // Each look costs a search by axe per page: the narrow and the dark ones see those that differ in shape.
      for (const [kind, name, shown] of pages.slice(0, look === looks[0] ? pages.length : 2)) {
        await tab.goto(page(kind, name));
        if (shown === undefined) await tab.getByText('Nothing: it is not there.').waitFor();
        else await tab.getByRole('table', { name: 'Difference' }).getByRole('rowheader', { name: shown, exact: true }).waitFor();
        await screenshot(tab, `live-${name}-${look.name}`);
        await tab.evaluate(axe);
        const serious = await tab.evaluate(async () => {
          const { axe: runner } = globalThis as unknown as {
            axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> };
          };
          return (await runner.run()).violations
            .filter((one) => one.impact === 'serious' || one.impact === 'critical')
            .map((one) => `${one.id}: ${one.nodes[0]?.html}`);
        });
        assert.deepEqual(serious, [], `${name} ${look.name}`);
        assert.equal(
          await tab.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth),
          false,
          `${name} ${look.name} scrolls sideways`,
        );
        assert.equal((await tab.content()).includes(CANARY), false);
      }
      assert.deepEqual(watchdog.complaints, []);
      await context.close();
    }

    const context = await newContext(browser, looks[0]);
    context.setDefaultTimeout(60_000);
    const tab = await context.newPage();
    await tab.goto(`${fleet.consoleUrl}/login#${token}`);
    await tab.waitForURL(`${fleet.consoleUrl}/`);
    await tab.goto(page('ConfigMap.v1', 'rules'));
    const held = tab.getByRole('region', { name: 'Manifest in the cluster' });
    await held.getByText('<img src=x onerror=alert(1)>').waitFor();
    assert.equal(await tab.locator('img[src=x]').count(), 0);
    // Folded by keyboard: what others write goes.
    await held.getByText('resourceVersion').waitFor();
    await tab.getByRole('checkbox', { name: 'Only fields that Git says' }).focus();
    await tab.keyboard.press('Space');
    await held.getByText('resourceVersion').waitFor({ state: 'detached' });
    await held.getByText('color: blue').waitFor();
    // The page follows drift without a reload.
    await edit('configmap', 'rules', { data: { color: 'red' } });
    await tab.getByRole('rowheader', { name: '.data.color', exact: true }).waitFor();

    // The agent goes: what was seen stays with its age, and why nothing newer comes stands above it.
    await fleet.member('eu').killAgent();
    await tab.getByRole('button', { name: 'Look again' }).press('Enter');
    await tab.getByRole('status').getByText('The live object cannot be shown as it is now').waitFor();
    await held.getByText('color: red').waitFor();
    await screenshot(tab, 'live-agent-away-light-1440');
    const away = await live('ConfigMap', 'rules');
    assert.deepEqual([away.state, away.code], ['unavailable', 'FL_LOOK_SILENT']);
    assert.match(away.sentence, /the agent of eu did not answer within 5 s, last heard of \d{4}-/);
    const said = await fleet.cli(['live', 'shop', 'eu', 'ConfigMap/rules']);
    assert.equal(said.exitCode, 1);
    assert.match(said.stdout.toString(), /^# the live object cannot be shown as it is now: the agent of eu did not answer/);
    fleet.member('eu').startAgent();
    await tab.getByText('Not what release').waitFor();
    await context.close();
  },
);

test('the view of what Git wants needs no agent', { skip }, async () => {
  const view = await fleet.view<ObjectView>(path('ConfigMap', 'rules').replace('/live?', '?'));
  assert.match(view.wanted ?? '', /level: high/);
});
