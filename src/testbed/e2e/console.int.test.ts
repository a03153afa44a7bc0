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

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'a', labels: { env: 'dev' } }, eu: { on: 'b', labels: { env: 'prod' } } } });
  browser = await startBrowser();
  token = readFileSync(join(fleet.planeDir, 'keys', 'admin-token'), 'utf8').trim();
  await fleet.commit({
    'web/settings.yaml': configMapYaml('settings', { greeting: 'hello' }),
    'web/secret.yaml': 'apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {password: canary-in-the-console}\n',
    'reports/bad.yaml': 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bad\ndata:\n  a: [1\n',
  });
  await fleet.application('web');
  await fleet.application('reports');
  for (const cluster of fleet.members.keys()) await fleet.ready('web', cluster);
});

after(async () => {
  await browser?.close();
  await fleet?.[Symbol.asyncDispose]();
});

async function login(page: Page): Promise<void> {
  await page.goto(`${fleet.consoleUrl}/login#${token}`);
  await page.locator('h1.verdict').waitFor();
}

test('the login link opens the first screen, whose verdict follows the fleet without a reload', { skip }, async () => {
  const context = await newContext(browser, looks[0]);
  const page = await context.newPage();
  const watchdog = new Watchdog();
  watchdog.watch(page, fleet.consoleUrl);
  await login(page);
  assert.equal(page.url().includes(token), false, 'the token is gone from the address bar');
  await page.getByText('2 clusters, 4 deliveries: 2 are what Git says, 2 are not').waitFor();
  await page.getByText('bad.yaml').first().waitFor();
  await page.getByText('live', { exact: true }).waitFor();

  await fleet.commit({ 'reports/bad.yaml': configMapYaml('good', { a: '1' }) });
  await page.getByText('2 clusters, 4 deliveries: all are what Git says').waitFor({ timeout: 60_000 });
  // The Application's own verdict follows its deliveries within a second.
  await waitFor('no problem to be left', async () => (await page.locator('.problem').count()) === 0, { timeoutMs: 20_000 });
  assert.deepEqual(watchdog.complaints, []);
  await context.close();
});

test('every link of the console leads somewhere, and no page complains or asks another origin', { skip }, async () => {
  const context = await newContext(browser, looks[0]);
  const page = await context.newPage();
  const watchdog = new Watchdog();
  watchdog.watch(page, fleet.consoleUrl);
  await login(page);
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
    assert.equal(/Not here|cannot show/.test(heading ?? ''), false, `${path}: ${heading}`);
    for (const href of await page
      .locator('a[href]')
      .evaluateAll((links) => links.map((link) => link.getAttribute('href') ?? ''))) {
      if (href.startsWith('/') && href !== '/login') waiting.push(href);
    }
  }
  for (const wanted of ['/applications', '/clusters', '/activity', '/a/default/web', '/c/dev', '/d/default/web/eu'])
    assert.ok(seen.has(wanted), `${wanted} is linked`);
  assert.deepEqual(watchdog.complaints, []);
  await context.close();
});

test('a delivery shows its way, its objects with manifests, and never a Secret', { skip }, async () => {
  const context = await newContext(browser, looks[0]);
  const page = await context.newPage();
  await login(page);
  await page.goto(`${fleet.consoleUrl}/d/default/web/dev`);
  await page.getByText('healthy', { exact: true }).waitFor();
  await page.getByRole('button', { name: /ConfigMap/ }).click();
  await page.locator('pre.manifest').getByText('"greeting": "hello"').waitFor();
  await page.getByRole('button', { name: /Secret/ }).click();
  await page.getByText('sealed to the cluster').waitFor();
  assert.equal((await page.content()).includes('canary-in-the-console'), false);
  await context.close();
});

test('the first screen works from the keyboard', { skip }, async () => {
  const context = await newContext(browser, looks[0]);
  const page = await context.newPage();
  await login(page);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to content');
  const link = page.getByRole('link', { name: /^web/ }).first();
  await link.focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/d\/default\/web\//);
  await context.close();
});

test('axe finds nothing serious, in both themes, wide and narrow', { skip }, async () => {
  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  const findings: string[] = [];
  for (const look of looks) {
    const context = await newContext(browser, look);
    const page = await context.newPage();
    await login(page);
    for (const [name, path] of [
      ['fleet', '/'],
      ['application', '/a/default/web'],
      ['cluster', '/c/dev'],
      ['delivery', '/d/default/web/dev'],
      ['activity', '/activity'],
    ] as const) {
      await page.goto(fleet.consoleUrl + path);
      await page.locator('h1').first().waitFor();
      await page.waitForLoadState('networkidle');
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
    await context.close();
  }
  assert.deepEqual(findings, []);
});
