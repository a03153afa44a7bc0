/**
 * The console over 1,000 clusters × 100 applications: a real plane process on a filled database (src/testbed/e2e/seeded-plane.ts),
 * its lists as HTTP clients get them, and the first screen in a real Chromium. FAIRLEAD_BENCH_FLEET=<clusters>x<applications>
 * sets another size.
 */
import { createRequire } from 'node:module';
import { newContext, startBrowser, looks } from '../src/testbed/e2e/browser.ts';
import { SeededPlane } from '../src/testbed/e2e/seeded-plane.ts';
import type { Measured } from './main.ts';
import type { Row } from './report.ts';
import { usageOf } from './usage.ts';

const ASKED = 100;
const SCREENS = 5;
const SCROLLED_FRAMES = 240;
const PRESSED_KEYS = 240;

const lists = [
  ['first screen', 'fleet'],
  ['first screen grouped and filtered', 'fleet?group=region&where=env%3Dprod'],
  ['clusters, worst first', 'clusters?sort=worst&limit=100'],
  ['applications, worst first', 'applications?sort=worst&limit=100'],
  ['deliveries of all states, a page', 'deliveries?limit=100'],
  ['deliveries of one reason', 'deliveries?code=FL_HEALTH_CRASH_LOOP&limit=100'],
  ['search', 'search?q=app-04%20eu-west-1-02'],
  ['activity', 'activity?limit=100'],
  ['changes', 'changes?limit=50'],
] as const;

export async function consoleAtSize(progress: (line: string) => void): Promise<Measured> {
  const [clusters = 1000, applications = 100] = (process.env['FAIRLEAD_BENCH_FLEET'] ?? '1000x100').split('x').map(Number);
  await using empty = await SeededPlane.start({ clusters: 0, applications: 0 });
  const emptyMb = usageOf(empty.plane.pid).rssMb;
  await empty.plane.stop();
  await using seeded = await SeededPlane.start({ clusters, applications });
  progress(
    `${clusters} × ${applications} written in ${Math.round(seeded.seededMs)} ms, read by the plane in ${Math.round(seeded.startedMs)} ms`,
  );
  const fullMb = usageOf(seeded.plane.pid).rssMb;

  const rows: Row[] = [];
  const sizes: string[] = [];
  for (const [what, path] of lists) {
    await seeded.view(path);
    const took: number[] = [];
    let bytes = 0;
    for (let n = 0; n < ASKED; n++) {
      const answer = await seeded.view(path);
      if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}`);
      took.push(answer.ms);
      bytes = answer.bytes;
    }
    rows.push({ what: `/views/v1: ${what}`, target: '≤ 150', values: took, unit: 'ms' });
    sizes.push(`${what} ${Math.round(bytes / 1024)} KiB`);
    progress(`${what}: ${Math.round(Math.max(...took))} ms at most`);
  }
  rows.push({ what: 'plane after a start with this fleet, resident', target: '-', values: [fullMb], unit: 'MiB' });
  rows.push({ what: 'plane after a start with nothing, resident', target: '-', values: [emptyMb], unit: 'MiB' });
  rows.push({ what: 'start until the fleet is read', target: '-', values: [seeded.startedMs], unit: 'ms' });

  const browser = await startBrowser();
  try {
    const screens: number[] = [];
    const frames: number[] = [];
    const long: number[] = [];
    const keys: number[] = [];
    for (let n = 0; n < SCREENS; n++) {
      const seen = await screenOf(browser, seeded, n === 0);
      screens.push(seen.firstMs);
      frames.push(...seen.frames);
      long.push(...seen.longTasks);
      keys.push(...seen.keys);
    }
    rows.push({ what: 'first screen: from the address to all marks', target: '-', values: screens, unit: 'ms' });
    rows.push({ what: 'frame while the grid scrolls', target: '-', values: frames, unit: 'ms' });
    rows.push({ what: 'frame while arrow keys move in the grid, one key each', target: '-', values: keys, unit: 'ms' });
    rows.push({
      what: 'long tasks (> 50 ms) while the grid scrolls and keys move',
      target: '0',
      values: [long.length],
      unit: 'count',
    });
  } finally {
    await browser.close();
  }
  return {
    rows,
    notes: [
      `the plane is a real process over a database written beforehand; it is frozen, so that no controller runs beside the reads`,
      `sizes uncompressed: ${sizes.join(', ')}`,
      `Chromium ${browser.version()} headless without a GPU, on the same cores as the plane; playwright ${playwrightVersion()}`,
    ],
  };
}

function playwrightVersion(): string {
  return (createRequire(import.meta.url)('playwright-core/package.json') as { version: string }).version;
}

/** One fresh browser context: how soon the whole grid stands, and how evenly it scrolls. */
async function screenOf(
  browser: Awaited<ReturnType<typeof startBrowser>>,
  seeded: SeededPlane,
  isFirst: boolean,
): Promise<{
  readonly firstMs: number;
  readonly frames: readonly number[];
  readonly keys: readonly number[];
  readonly longTasks: readonly number[];
}> {
  const context = await newContext(browser, looks[0]);
  const page = await context.newPage();
  await page.goto(`${seeded.consoleUrl}/login#${seeded.token}`);
  await page.locator('.grid a').first().waitFor({ timeout: 60_000 });
  if (isFirst) await page.goto(`${seeded.consoleUrl}/`);
  const from = performance.now();
  await page.goto(`${seeded.consoleUrl}/?group=region`);
  await page.locator('.group').nth(7).waitFor({ timeout: 60_000 });
  const firstMs = performance.now() - from;
  const measured = await page.evaluate(
    async ([count, presses]) => {
      const longTasks: number[] = [];
      const observer = new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((entry) => entry.duration)));
      observer.observe({ type: 'longtask' });
      const frames: number[] = [];
      let last = await new Promise<number>((resolve) => requestAnimationFrame(resolve));
      const bottom = document.documentElement.scrollHeight - innerHeight;
      for (let n = 0; n < count; n++) {
        scrollTo(0, (bottom / 2) * (1 - Math.cos((n / count) * 4 * Math.PI)));
        const now = await new Promise<number>((resolve) => requestAnimationFrame(resolve));
        frames.push(now - last);
        last = now;
      }
      scrollTo(0, 0);
      const keys: number[] = [];
      document.querySelector<HTMLElement>('.grid a')?.focus();
      last = await new Promise<number>((resolve) => requestAnimationFrame(resolve));
      for (let n = 0; n < presses; n++) {
        // There and back through the marks of one group, by row and by column.
        const [there, back] = n % 2 === 0 ? ['ArrowRight', 'ArrowLeft'] : ['ArrowDown', 'ArrowUp'];
        const key = n < presses / 2 ? there : back;
        document.activeElement?.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
        const now = await new Promise<number>((resolve) => requestAnimationFrame(resolve));
        keys.push(now - last);
        last = now;
      }
      observer.disconnect();
      return { frames, keys, longTasks };
    },
    [SCROLLED_FRAMES, PRESSED_KEYS] as const,
  );
  await context.close();
  return { firstMs, ...measured };
}
