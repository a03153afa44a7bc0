import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { must } from '#base';

const variable = 'FAIRLEAD_CHROMIUM';

/** For `{skip: chromiumMissing()}`: why tests in a browser cannot run here, or false. */
export function chromiumMissing(): string | false {
  return process.env[variable] === undefined ? 'needs Chromium, which this machine does not have' : false;
}

/** Chromium without anything that calls home. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: must(process.env[variable], `${variable} names a Chromium`),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** What a page must never do: log an error, throw, break its own policy, or ask another origin for anything. */
export class Watchdog {
  readonly complaints: string[] = [];
  /** Requests and sockets seen, so that a test knows that somebody looked. */
  asked = 0;

  watch(page: Page, origin: string): void {
    const { host } = new URL(origin);
    const look = (address: string): void => {
      this.asked += 1;
      const url = new URL(address);
      if (url.host !== host) this.complaints.push(`${page.url()} asked ${address.slice(0, 200)}`);
    };
    page.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(`${page.url()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.complaints.push(`${page.url()}: ${error.message}`));
    page.on('request', (request) => look(request.url()));
    page.on('websocket', (socket) => look(socket.url()));
    page.on('popup', (popup) => this.complaints.push(`${page.url()} opened ${popup.url()}`));
  }
}

/** Both themes, wide and narrow. */
export const looks = [
  { name: 'light-1440', colorScheme: 'light', width: 1440 },
  { name: 'dark-1440', colorScheme: 'dark', width: 1440 },
  { name: 'light-390', colorScheme: 'light', width: 390 },
  { name: 'dark-390', colorScheme: 'dark', width: 390 },
] as const;

export function newContext(browser: Browser, look: (typeof looks)[number]): Promise<BrowserContext> {
  return browser.newContext({
    colorScheme: look.colorScheme,
    viewport: { width: look.width, height: look.width > 500 ? 900 : 844 },
  });
}

/** Into `dist/screenshots`, for people to look at. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const dir = join(resolve(import.meta.dirname, '..', '..', '..'), 'dist', 'screenshots');
  mkdirSync(dir, { recursive: true });
  await page.screenshot({ path: join(dir, `${name}.png`), fullPage: true });
}
