import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { waitFor } from '#base';
import { chromiumMissing, startBrowser, Watchdog } from './browser.ts';
import { SeededPlane } from './seeded-plane.ts';

const skip = chromiumMissing();
let seeded: SeededPlane;
let browser: Browser;
const watchdog = new Watchdog();
/** The longest names that Kubernetes allows for a cluster and an application together. */
const long = { cluster: 63, application: 53 };

before(async () => {
  if (skip !== false) return;
  seeded = await SeededPlane.start({ clusters: 120, applications: 6, nameLengths: long });
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await seeded?.[Symbol.asyncDispose]();
});

async function open(options: BrowserContextOptions = {}): Promise<{ page: Page; close: () => Promise<void> }> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  watchdog.watch(page, seeded.consoleUrl);
  await page.goto(`${seeded.consoleUrl}/login#${seeded.token}`);
  await page.locator('.problem').first().waitFor();
  return { page, close: () => context.close() };
}

const focusedHref = (page: Page): Promise<string | null | undefined> =>
  page.evaluate(() => document.activeElement?.getAttribute('href'));

/** The page's policy forbids what page.waitForFunction does. */
async function isFocused(page: Page, href: string | null | undefined): Promise<void> {
  await waitFor(
    `${href} to have the focus`,
    async () => {
      const found = await focusedHref(page);
      if (found !== href) throw new Error(`it is with ${found}`);
      return true;
    },
    { timeoutMs: 60_000, intervalMs: 50 },
  );
}

test('back lands where one was: the same place of the page, the same row in the focus', { skip }, async () => {
  const { page, close } = await open();
  await page.goto(`${seeded.consoleUrl}/clusters`);
  const rows = page.getByRole('table', { name: 'Clusters' }).getByRole('rowheader').getByRole('link');
  await rows.first().waitFor();
  for (let n = 0; n < 40; n++) await page.keyboard.press('j');
  const href = await focusedHref(page);
  const at = await page.evaluate(() => scrollY);
  assert.ok(at > 500, `it is scrolled to ${at}`);
  await page.keyboard.press('Enter');
  await page.waitForURL(`**${href}`);
  await page.getByRole('table', { name: 'Deliveries' }).waitFor();
  assert.equal(await page.evaluate(() => scrollY), 0, 'a new page begins at its top');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main', 'and so does whoever reads it aloud');
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), href?.slice('/c/'.length));
  await page.goBack();
  await rows.first().waitFor();
  await isFocused(page, href);
  assert.ok(
    Math.abs((await page.evaluate(() => scrollY)) - at) < 5,
    `back at ${await page.evaluate(() => scrollY)}, was at ${at}`,
  );
  // And on from there.
  await page.keyboard.press('j');
  assert.notEqual(await focusedHref(page), href);
  await close();
});

test('the field of marks stays one tab stop, at the mark that was left', { skip }, async () => {
  const { page, close } = await open();
  await page.locator('.grid a').first().focus();
  for (const key of ['ArrowRight', 'ArrowRight', 'ArrowDown', 'ArrowLeft', 'End', 'ArrowLeft']) await page.keyboard.press(key);
  const href = await focusedHref(page);
  await page.keyboard.press('Tab');
  assert.notEqual(await focusedHref(page), href, 'the next stop is beyond the field');
  await page.keyboard.press('Shift+Tab');
  assert.equal(await focusedHref(page), href);
  assert.equal(await page.locator('.grid a[tabindex="0"]').count(), 1);
  await page.keyboard.press('Enter');
  await page.getByRole('table', { name: 'Deliveries' }).waitFor();
  await page.goBack();
  await isFocused(page, href);
  await close();
});

test(
  'with the longest names, zoomed to 200 and 400 %, nothing scrolls sideways and nothing of the header is cut off',
  { skip },
  async () => {
    const faults: string[] = [];
    // 1440 × 900 at 200 %, a phone, and the 320 px that WCAG 1.4.10 asks for.
    for (const [width, height] of [
      [720, 450],
      [390, 844],
      [320, 640],
    ] as const) {
      const { page, close } = await open({ viewport: { width, height } });
      const delivery = await page.locator('.problem a.chip').first().getAttribute('href');
      const [, , project, application, cluster] = (delivery ?? '').split('/');
      assert.deepEqual([application?.length, cluster?.length], [long.application, long.cluster]);
      for (const path of [
        '/',
        '/?group=region',
        '/?where=region%3Deu-west-1',
        '/applications',
        '/clusters',
        '/changes',
        '/activity',
        `/a/${project}/${application}`,
        `/c/${cluster}`,
        delivery ?? '',
      ]) {
        await page.goto(seeded.consoleUrl + path);
        await page.locator('.copy').waitFor();
        await page.waitForLoadState('networkidle');
        const found = await page.evaluate(() => {
          const { clientWidth, scrollWidth } = document.documentElement;
          const cut = [...document.querySelectorAll('.top a, .top button')].filter((element) => {
            const { left, right } = element.getBoundingClientRect();
            return left < 0 || right > clientWidth;
          });
          return [
            ...(scrollWidth > clientWidth ? [`scrolls sideways, ${scrollWidth} of ${clientWidth}`] : []),
            ...cut.map((element) => `cuts off ${element.textContent}`),
          ];
        });
        faults.push(...found.map((what) => `${path} at ${width} px ${what}`));
      }
      await close();
    }
    assert.deepEqual(faults, []);
  },
);

test('without motion nothing moves; in forced colours every state keeps its shape', { skip }, async () => {
  const calm = await open({ reducedMotion: 'reduce' });
  const moving = await calm.page.evaluate(
    () =>
      document.getAnimations().length +
      [...document.querySelectorAll('*')].filter((e) => getComputedStyle(e).transitionDuration !== '0s').length,
  );
  assert.equal(moving, 0);
  await calm.close();
  const forced = await open({ forcedColors: 'active' });
  const backgrounds = await forced.page.locator('.legend .mark').evaluateAll((marks) =>
    marks.map((mark) => {
      const { backgroundColor, backgroundImage, borderTopStyle, clipPath } = getComputedStyle(mark);
      return [backgroundColor, backgroundImage, borderTopStyle, clipPath].join(' ');
    }),
  );
  assert.equal(backgrounds.length, 7);
  assert.equal(new Set(backgrounds).size, 7, backgrounds.join('\n'));
  assert.equal(
    await forced.page
      .getByRole('navigation', { name: 'Pages' })
      .getByRole('link', { name: 'Fleet' })
      .evaluate((link) => getComputedStyle(link).textDecorationLine),
    'underline',
    'the page one is on',
  );
  await forced.close();
});

test('who listens hears what changes and not every second', { skip }, async () => {
  const { page, close } = await open();
  const live = await page
    .locator('[role="status"], [role="alert"], [aria-live]:not(.command-said)')
    .evaluateAll((regions) =>
      regions.map((region) => ({ text: region.textContent, ticks: region.querySelector('time') !== null })),
    );
  assert.deepEqual(live.map(({ text }) => text).sort(), ['Something is not what Git says', 'live']);
  assert.ok(live.every(({ ticks }) => !ticks));
  // Names and roles as a screen reader has them.
  await page.getByRole('banner').getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Fleet' }).waitFor();
  await page.getByRole('main', { name: / not · Fleet|not/ }).waitFor();
  await page.getByRole('region', { name: 'What is not what Git says' }).getByRole('article').first().waitFor();
  await page
    .getByRole('group', { name: /arrow keys move/ })
    .getByRole('link', { name: /^[a-z0-9-]+: failed; \d of 6 are what Git says\. app-/ })
    .first()
    .waitFor();
  assert.deepEqual(watchdog.complaints, []);
  await close();
});
