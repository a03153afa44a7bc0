import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { chromiumMissing, looks, newContext, screenshot, startBrowser, Watchdog } from './browser.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing() === false ? chromiumMissing() : testbedMissing();
let fleet: Fleet;
let browser: Browser;
let token: string;
/** The machine may be busy with other things. */
const patienceMs = 120_000;
let firstCommit: string;
let lastCommit: string;

/** A ConfigMap changed in its cluster, as somebody with kubectl does it. */
async function editByHand(cluster: string, namespace: string, name: string, data: Record<string, string>): Promise<void> {
  const { handle } = fleet.member(cluster);
  const edited = await handle.kubectl(
    ['patch', 'configmap', name, '-n', namespace, '--type=merge', '--field-manager=kubectl-edit', '-p', JSON.stringify({ data })],
    {},
  );
  assert.equal(edited.exitCode, 0, edited.stderr);
}

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: {
      dev: { on: 'a', labels: { env: 'dev', region: 'local' }, isLate: true },
      eu: { on: 'b', labels: { env: 'prod', region: 'eu-west-1' }, isLate: true },
    },
  });
  browser = await startBrowser();
  token = readFileSync(join(fleet.planeDir, 'keys', 'admin-token'), 'utf8').trim();
});

after(async () => {
  await browser?.close();
  await fleet?.[Symbol.asyncDispose]();
});

async function login(page: Page): Promise<void> {
  await page.goto(`${fleet.consoleUrl}/login#${token}`);
  await page.waitForURL(`${fleet.consoleUrl}/`);
  await page.locator('h1').waitFor();
}

async function open(
  look: (typeof looks)[number] = looks[0],
): Promise<{ page: Page; watchdog: Watchdog; close: () => Promise<void> }> {
  const context = await newContext(browser, look);
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  context.setDefaultTimeout(patienceMs);
  const page = await context.newPage();
  const watchdog = new Watchdog();
  watchdog.watch(page, fleet.consoleUrl);
  await login(page);
  return { page, watchdog, close: () => context.close() };
}

test('an empty plane shows the command that enrols, and comes alive as agents register', { skip }, async () => {
  const { page, watchdog, close } = await open();
  await page.getByRole('heading', { name: 'No clusters yet' }).waitFor();
  await page.getByText('fairlead enroll my-cluster --label env=dev').waitFor();
  await screenshot(page, 'empty-light-1440');
  await fleet.enroll('dev');
  await page.getByText('1 cluster, 0 deliveries: nothing is delivered yet').waitFor();
  await page.getByRole('link', { name: 'dev' }).waitFor();
  await fleet.enroll('eu');
  await page.getByText('2 clusters, 0 deliveries').waitFor();
  assert.deepEqual(watchdog.complaints, []);
  await close();
  firstCommit = await fleet.commit(
    {
      'web/settings.yaml': configMapYaml('settings', { greeting: 'hello' }),
      'web/secret.yaml': 'apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {password: canary-in-the-console}\n',
      ...Object.fromEntries(
        Array.from({ length: 9 }, (_, n) => [`web/flags-${n}.yaml`, configMapYaml(`flags-${n}`, { on: 'true' })]),
      ),
      'reports/bad.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bad\ndata:\n  a: [1\n',
      'alerts/rules.yaml': configMapYaml('rules', { level: 'high' }),
    },
    'The first content',
  );
  await fleet.application('web');
  await fleet.application('reports');
  await fleet.application('alerts', { drift: { mode: 'Alert' } });
  for (const cluster of fleet.members.keys()) {
    await fleet.ready('web', cluster, undefined, patienceMs);
    await fleet.ready('alerts', cluster, undefined, patienceMs);
  }
});

test(
  'the first screen is a verdict that follows the fleet without a reload; each problem has a sentence and one action',
  { skip },
  async () => {
    const { page, watchdog, close } = await open();
    assert.equal(page.url().includes(token), false, 'the token is gone from the address bar');
    await page.getByText('2 clusters, 6 deliveries: 4 are what Git says, 2 are not').waitFor();
    const problem = page.locator('.problem').filter({ hasText: 'bad.yaml' });
    await problem.getByText('who can act: application owner').waitFor();
    await problem.getByRole('button', { name: /fairlead reconcile application\/reports/ }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'fairlead reconcile application/reports');
    await page.getByText('live', { exact: true }).waitFor();
    await page
      .getByRole('link', { name: /^reports\s*: failed$/ })
      .first()
      .waitFor();

    lastCommit = await fleet.commit(
      {
        'reports/bad.yaml': configMapYaml('good', { a: '1' }),
        'web/settings.yaml': configMapYaml('settings', { greeting: 'bonjour' }),
        'reports/long.yaml': configMapYaml('long.'.repeat(50) + 'end', { a: '1' }),
      },
      // Markup in what others write is text.
      `Greet in French <img src="/pixel" onerror="document.title='ran'">${'x'.repeat(120)}`,
    );
    await page.getByText('2 clusters, 6 deliveries: all are what Git says').waitFor();
    // The Application's own verdict follows its deliveries within a second.
    await waitFor('no problem to be left', async () => (await page.locator('.problem').count()) === 0, { timeoutMs: patienceMs });
    assert.deepEqual(watchdog.complaints, []);
    await close();
  },
);

test(
  'filters are label selectors in the address; what cannot be read is explained and what was known stays',
  { skip },
  async () => {
    const { page, close } = await open();
    await page.goto(`${fleet.consoleUrl}/?group=region&where=env%3Dprod`);
    await page.getByText('1 cluster, 3 deliveries').waitFor();
    await page.getByRole('heading', { name: /region=eu-west-1/ }).waitFor();
    assert.equal(await page.getByLabel('Clusters where').inputValue(), 'env=prod');
    await page.getByLabel('Group by').selectOption('env');
    await page.waitForURL('**/?group=env&where=env%3Dprod');
    await page.getByLabel('Clusters where').fill('env in (prod');
    await page.keyboard.press('Enter');
    await page.getByText('This is no label selector').waitFor();
    await page.getByText('1 cluster, 3 deliveries').waitFor();
    await page.goto(`${fleet.consoleUrl}/clusters?where=env!%3Dprod`);
    await page.getByRole('link', { name: 'dev', exact: true }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'eu', exact: true }).count(), 0);
    await close();
  },
);

test('every link of the console leads somewhere, and no page complains or asks another origin', { skip }, async () => {
  const { page, watchdog, close } = await open();
  const seen = new Set<string>();
  const waiting = ['/'];
  for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
    if (seen.has(path)) continue;
    seen.add(path);
    await page.goto(fleet.consoleUrl + path);
    await page.locator('h1').first().waitFor();
    await page.waitForLoadState('networkidle');
    assert.equal(await page.getByText('Nothing lives here').count(), 0, path);
    const heading = await page.locator('h1').first().textContent();
    assert.equal(/Not here|cannot/.test(heading ?? ''), false, `${path}: ${heading}`);
    assert.equal(await page.getByText('The same in a terminal').count(), 1, `${path} has commands to copy`);
    // Objects of one kind are alike: one of each delivery is enough.
    const hrefs = await page.locator('a[href]').evaluateAll((links) => links.map((link) => link.getAttribute('href') ?? ''));
    for (const href of hrefs) {
      if (!href.startsWith('/') || href === '/login') continue;
      if (href.includes('/objects/') && /flags-[1-9]/.test(href)) continue;
      waiting.push(href);
    }
  }
  const ns = fleet.ns('web');
  for (const wanted of [
    '/applications',
    '/clusters',
    '/changes',
    '/activity',
    '/a/default/web',
    '/c/dev',
    '/d/default/web/eu',
    `/d/default/web/eu/objects/ConfigMap.v1/${ns}/settings`,
    `/commits/${firstCommit}`,
    `/commits/${lastCommit}`,
    '/?where=env%3Dprod',
  ])
    assert.ok(seen.has(wanted), `${wanted} is linked`);
  assert.deepEqual(watchdog.complaints, []);
  assert.ok(watchdog.asked > 4 * seen.size, `${watchdog.asked} requests and sockets were looked at`);
  await close();
});

test('what a page may load is its own: another origin, inline script and markup from text are refused', { skip }, async () => {
  const { page, close } = await open();
  const refused = await page.evaluate(async () => {
    const directives: string[] = [];
    document.addEventListener('securitypolicyviolation', (event) => directives.push(event.effectiveDirective));
    const script = document.createElement('script');
    const attempts = [
      () => fetch('http://127.0.0.1:1/'),
      () =>
        new Promise((resolve, reject) => {
          const image = new Image();
          image.onerror = reject;
          image.onload = resolve;
          image.src = 'http://127.0.0.1:1/pixel.png';
        }),
      async () => {
        script.text = 'globalThis.ran = true';
        document.body.append(script);
      },
      async () => {
        document.body.innerHTML = '<b>from text</b>';
      },
    ];
    const failed: number[] = [];
    for (const [index, attempt] of attempts.entries()) await attempt().catch(() => failed.push(index));
    // The reports of violations come a moment later.
    await new Promise((resolve) => setTimeout(resolve, 200));
    return { directives: [...new Set(directives)].sort(), failed, ran: 'ran' in globalThis };
  });
  assert.deepEqual(refused.directives, ['connect-src', 'img-src', 'require-trusted-types-for']);
  assert.deepEqual(refused.failed, [0, 1, 2, 3]);
  assert.equal(refused.ran, false);
  await close();
});

test(
  'a delivery shows its way with a time on each station, its objects, their manifests, and never a Secret',
  { skip },
  async () => {
    const { page, close } = await open();
    await page.goto(`${fleet.consoleUrl}/d/default/web/dev`);
    const stations = page.locator('.journey .station-reached');
    await waitFor('all seven stations', async () => (await stations.count()) === 7, { timeoutMs: patienceMs });
    assert.deepEqual(await page.locator('.station-word').allTextContents(), [
      'commit',
      'rendered',
      'released',
      'signed',
      'fetched',
      'applied',
      'healthy',
    ]);
    assert.equal(await page.locator('.station time').count(), 7);
    // A long list of one kind that is all well is folded.
    await page.locator('summary').filter({ hasText: '10 as wanted' }).click();
    await page.getByRole('link', { name: 'settings' }).click();
    await page.locator('pre.manifest').getByText('greeting: bonjour').waitFor();
    await page.getByRole('region', { name: 'Manifest in the cluster' }).getByText('greeting: bonjour').waitFor();
    await page.getByText('Every field that Git says is so in dev.').waitFor();
    await page.goto(`${fleet.consoleUrl}/d/default/web/dev/objects/Secret.v1/${fleet.ns('web')}/keys`);
    await page.getByText('sealed to the cluster: the plane cannot show it').waitFor();
    await page.getByRole('region', { name: 'Manifest in the cluster' }).getByText("password: '[redacted]'").waitFor();
    assert.equal((await page.content()).includes('canary-in-the-console'), false);
    await close();
  },
);

test('a commit shows what it touched; changes lead to it', { skip }, async () => {
  const { page, close } = await open();
  await page.goto(`${fleet.consoleUrl}/changes`);
  await page.getByRole('link', { name: 'Greet in French' }).click();
  await page.getByText(/It changes 2 applications in 4 places/).waitFor();
  assert.match((await page.getByRole('heading', { level: 1 }).textContent()) ?? '', /<img src="\/pixel" onerror=/);
  assert.equal(await page.locator('img[src="/pixel"]').count(), 0);
  assert.equal(await page.title(), `${lastCommit.slice(0, 10)} · Fairlead`);
  const row = page.getByRole('row').filter({ hasText: 'settings' });
  await row.getByText('changed').waitFor();
  assert.equal(await page.getByRole('row').filter({ hasText: 'flags-' }).count(), 0, 'what it did not touch is not there');
  await page.getByText('kubectl get releases -A --field-selector spec.source.commit=').waitFor();
  const listed = await fleet.kubectl([
    'get',
    'releases',
    '-A',
    '--field-selector',
    `spec.source.commit=${lastCommit}`,
    '-o',
    'name',
  ]);
  assert.equal(listed.stdout.trim().split('\n').length, 2, listed.stdout + listed.stderr);
  await close();
});

test(
  'drift is shown where it is, with names: the matrix differs, the cluster and the object say who changed what',
  { skip },
  async () => {
    const { page, close } = await open();
    await page.goto(`${fleet.consoleUrl}/a/default/alerts`);
    await page.getByText('all 2 alike').waitFor();
    await page.goto(`${fleet.consoleUrl}/`);
    const rows = page.locator('.rows .row-name');
    await rows.filter({ hasText: 'dev' }).focus();
    await editByHand('eu', fleet.ns('alerts'), 'rules', { level: 'low' });
    await waitFor('the worst to be first', async () => ((await rows.first().textContent()) ?? '').startsWith('eu'), {
      timeoutMs: patienceMs,
    });
    const focused = await page.evaluate(() => document.activeElement?.getAttribute('href'));
    assert.equal(focused, '/c/dev', 'another order takes the focus from nobody');
    await page.goto(`${fleet.consoleUrl}/a/default/alerts`);
    await page.getByText('2 clusters, each different').waitFor();
    await page.getByRole('row').filter({ hasText: 'rules' }).getByRole('link', { name: 'drifted' }).waitFor();
    await page.goto(`${fleet.consoleUrl}/c/eu`);
    const row = page.getByRole('table', { name: 'Drift' }).getByRole('row').filter({ hasText: 'rules' });
    await row.getByRole('cell', { name: '.data.level', exact: true }).waitFor();
    await row.getByText('kubectl-edit').first().waitFor();
    await row.getByRole('link').click();
    await page.getByText('changed by kubectl-edit', { exact: true }).waitFor();
    await page.getByText('level: high').waitFor();
    await close();
  },
);

test('activity is filtered by the plane and comes in pages', { skip }, async () => {
  const { page, close } = await open();
  await page.goto(`${fleet.consoleUrl}/activity?application=alerts&cluster=eu`);
  await page.getByText('applied alerts.1 in eu').waitFor();
  const abouts = await page.locator('.activity .about').allTextContents();
  assert.ok(abouts.length > 0 && abouts.every((text) => text === 'alerts on eu'), abouts.join());
  await page
    .getByRole('textbox', { name: 'Application' })
    .or(page.getByRole('searchbox', { name: 'Application' }))
    .fill('web');
  await page.getByRole('button', { name: 'Filter' }).click();
  await page.waitForURL('**/activity?application=web&cluster=eu');
  await page.getByText('web on eu').first().waitFor();
  const first = await fleet.view<{ items: { sentence: string }[]; next?: string }>('activity?limit=2');
  const second = await fleet.view<{ items: { sentence: string }[] }>(
    `activity?limit=2&before=${encodeURIComponent(first.next ?? '')}`,
  );
  assert.equal(first.items.length, 2);
  assert.ok(second.items.length > 0 && second.items.every((item) => !first.items.some((one) => one.sentence === item.sentence)));
  await close();
});

test('everything is reached from the keyboard: the palette, j and k, Enter, Esc', { skip }, async () => {
  const { page, watchdog, close } = await open();
  await page.reload();
  await page.locator('h1').waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to content');
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox', { name: /Go to/ }).fill('web eu');
  await page.getByRole('option', { name: /web on eu/ }).waitFor();
  assert.equal(await page.getByRole('dialog').getByRole('option', { selected: true }).count(), 1);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/d/default/web/eu');
  assert.equal(await page.getByRole('dialog').count(), 0);
  // The address comes before the page: Esc goes where the page says.
  await page.getByRole('navigation', { name: 'Above this page' }).getByRole('link', { name: 'web' }).waitFor();
  await page.keyboard.press('Escape');
  await page.waitForURL('**/a/default/web');
  await page.getByRole('table', { name: 'Deliveries' }).waitFor();
  await page.keyboard.press('Escape');
  await page.waitForURL('**/applications');
  await page.getByRole('link', { name: 'web', exact: true }).waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('k');
  const focused = await page.evaluate(() => document.activeElement?.getAttribute('href'));
  assert.match(focused ?? '', /^\/a\/default\//);
  await page.keyboard.press('Enter');
  await page.waitForURL(`**${focused}`);
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  assert.equal(await page.getByRole('dialog').count(), 0);
  assert.match(page.url(), new RegExp(`${focused}$`), 'Esc closed the dialog and went nowhere');
  assert.deepEqual(watchdog.complaints, []);
  await close();
});

test('axe finds nothing serious, in both themes, wide and narrow, and nothing scrolls sideways', { skip }, async () => {
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  const findings: string[] = [];
  for (const look of looks) {
    const { page, close } = await open(look);
    for (const [name, path] of [
      ['fleet', '/'],
      ['applications', '/applications'],
      ['clusters', '/clusters'],
      ['changes', '/changes'],
      ['activity', '/activity'],
      ['application', '/a/default/alerts'],
      ['cluster', '/c/eu'],
      ['delivery', '/d/default/web/dev'],
      ['object', `/d/default/alerts/eu/objects/ConfigMap.v1/${fleet.ns('alerts')}/rules`],
      ['commit', `/commits/${lastCommit}`],
      ['long-names', '/d/default/reports/eu'],
      ['selector', '/clusters?where=env+in+('],
      ['palette', '/'],
    ] as const) {
      await page.goto(fleet.consoleUrl + path);
      await page.locator('h1').first().waitFor();
      await page.waitForLoadState('networkidle');
      if (name === 'palette') {
        await page.keyboard.press('Control+k');
        await page.getByRole('combobox', { name: /Go to/ }).fill('e');
        await page
          .getByRole('option', { name: /cluster/ })
          .first()
          .waitFor();
      }
      await screenshot(page, `${name}-${look.name}`);
      // The page's own policy forbids inline scripts; evaluate() runs outside of it.
      await page.evaluate(axe);
      const serious = await page.evaluate(async () => {
        const { axe: runner } = globalThis as unknown as {
          axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> };
        };
        const { violations } = await runner.run();
        return violations
          .filter((one) => one.impact === 'serious' || one.impact === 'critical')
          .map((one) => `${one.id}: ${one.nodes[0]?.html}`);
      });
      findings.push(...serious.map((finding) => `${look.name} ${path} ${finding}`));
      const isScrolling = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      if (isScrolling) findings.push(`${look.name} ${path} scrolls sideways`);
    }
    await close();
  }
  assert.deepEqual(findings, []);
});

test('when the plane is away the last state stays, with its age, and comes alive again by itself', { skip }, async () => {
  const { page, close } = await open();
  await page.getByText('live', { exact: true }).waitFor();
  // Inside of the page: what is known of the fleet goes along.
  await page.locator('.rows').getByRole('link', { name: /^dev/ }).click();
  await page.getByRole('heading', { name: 'dev' }).waitFor();
  await fleet.killPlane();
  await page.getByText(/^no contact for/).waitFor();
  await page.getByText('This is the state of').waitFor();
  await page.getByRole('table', { name: 'Deliveries' }).waitFor();
  await page.getByRole('link', { name: 'Fleet', exact: true }).click();
  await page.getByText('2 clusters, 6 deliveries').waitFor();
  await fleet.startPlane();
  await page.getByText('live', { exact: true }).waitFor();
  await waitFor('the warning to go', async () => (await page.getByText('This is the state of').count()) === 0, {
    timeoutMs: patienceMs,
  });
  await close();
});
