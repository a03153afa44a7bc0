import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chromiumMissing, looks, newContext, screenshot, startBrowser, Watchdog } from './browser.ts';
import { SeededPlane } from './seeded-plane.ts';

const skip = chromiumMissing();
const size = { clusters: 300, applications: 14 };

test(
  'a fleet of 300 clusters: verdict, problems, a field of marks with one tab stop and arrow keys, pages of lists',
  { skip },
  async () => {
    await using seeded = await SeededPlane.start(size);
    const browser = await startBrowser();
    try {
      for (const look of looks) {
        const context = await newContext(browser, look);
        const page = await context.newPage();
        const watchdog = new Watchdog();
        watchdog.watch(page, seeded.consoleUrl);
        await page.goto(`${seeded.consoleUrl}/login#${seeded.token}`);
        await page.getByText(/300 clusters, 4,200 deliveries: 4,\d{3} are what Git says, \d+ are not/).waitFor();
        await page.locator('.problem').first().waitFor();
        await page.goto(`${seeded.consoleUrl}/?group=tier`);
        await page.getByRole('heading', { name: /tier=edge/ }).waitFor();
        await screenshot(page, `fleet-300-${look.name}`);
        const marks = page.locator('.grid a');
        assert.equal(await marks.count(), 300);
        const [first] = await page.locator('.group').all();
        assert.equal(await first?.locator('.grid a[tabindex="0"]').count(), 1, 'one tab stop');
        const states = await first?.locator('.grid .mark').evaluateAll((all) => all.map((mark) => mark.className));
        assert.match(states?.[0] ?? '', /mark-failed/, 'the worst first');
        assert.match(states?.at(-1) ?? '', /mark-ready/);

        await first?.locator('.grid a').first().focus();
        const columns = await first?.locator('.grid').evaluate((grid) => Math.floor(grid.clientWidth / 26));
        await page.keyboard.press('ArrowRight');
        await page.keyboard.press('ArrowDown');
        const at = await page.evaluate(() => (document.activeElement as HTMLElement | null)?.dataset['index']);
        assert.equal(Number(at), 1 + (columns ?? 0));
        assert.equal(await first?.locator('.grid a[tabindex="0"]').count(), 1, 'still one tab stop');
        const words = await page.evaluate(() => document.activeElement?.getAttribute('aria-label'));
        assert.equal(await first?.locator('.grid-words').textContent(), words);
        await page.keyboard.press('Enter');
        await page.waitForURL('**/c/**');
        await page.getByRole('table', { name: 'Deliveries' }).waitFor();

        await page.goto(`${seeded.consoleUrl}/clusters`);
        const rows = page.getByRole('table', { name: 'Clusters' }).locator('tbody tr');
        await rows.first().waitFor();
        assert.equal(await rows.count(), 100);
        await page.getByRole('button', { name: 'Show more' }).click();
        await page.getByText('200 of 300').waitFor();
        assert.equal(await rows.count(), 200);
        const isScrolling = await page.evaluate(
          () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
        );
        assert.equal(isScrolling, false, `${look.name} scrolls sideways`);
        assert.deepEqual(watchdog.complaints, []);
        await context.close();
      }
    } finally {
      await browser.close();
    }
  },
);
