import { apisDigest, isApiVersion, isBoundedList, MAX_APIS, withUnavailable, type ServedApis } from '#api';
import { jittered, messageOf, supervise, type Clock, type Log, type Rng } from '#base';
import { ChangeWatch, hasStatus, type KubeClient, type RestMapper } from '#kube';

export interface ServedApisOptions {
  readonly client: KubeClient;
  readonly mapper: RestMapper;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  /** What is served has changed. */
  readonly onChange: () => void;
  /** The version of the API server has changed. */
  readonly onVersion: () => void;
}

/**
 * After a change these ms pass before looks. Discovery follows a CustomResourceDefinition within moments; of an aggregated API it
 * is read by the aggregator when it likes to, once a minute at the latest.
 */
const LOOKS_MS = [150, 1_000, 4_000, 15_000, 75_000];
/** What happens together is looked at together, and a flapping API is no reason to ask all the time. */
const MIN_GAP_MS = 500;
/** Kinds of an aggregated API may change with nothing in the cluster saying so. */
const HOURLY_MS = 3_600_000;
/** What discovery no longer names is gone if it does not name it for this long either. */
const GONE_MS = 20_000;
const FAILED_MS = 5_000;
const MAX_UNAVAILABLE = 500;

/**
 * What the cluster serves, kept up to date by watching for changes of CustomResourceDefinitions and APIServices: at rest nothing
 * is asked. Additions count at once. Nothing leaves the list because a server does not answer, starts up, or answers once
 * without it: charts are rendered by this list, and what they no longer hold is deleted.
 */
export class ServedApisWatch {
  readonly #options: ServedApisOptions;
  #current: ServedApis | undefined;
  #list: readonly string[] = [];
  /** Entries that discovery no longer names, and since when. */
  readonly #missing = new Map<string, number>();
  #gitVersion: string | undefined;
  #due: number[] = [];
  #wake: (() => void) | undefined;
  #isTooLong = false;

  constructor(options: ServedApisOptions) {
    this.#options = options;
  }

  /** With the list; undefined before the first look. */
  get current(): ServedApis | undefined {
    return this.#current;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { client, clock, rng, log } = this.#options;
    const watch = (path: string): ChangeWatch =>
      new ChangeWatch({
        client,
        path,
        onChange: () => this.#lookSoon(),
        onGap: () => this.#lookAfter([0]),
        log,
        clock,
        rng,
      });
    await supervise(
      [
        watch('/apis/apiextensions.k8s.io/v1/customresourcedefinitions'),
        watch('/apis/apiregistration.k8s.io/v1/apiservices'),
        { id: 'served-apis', run: (at) => this.#look(at) },
      ],
      signal,
      { log, clock },
    );
  }

  /** A change starts the row of looks anew, but for the next one: changes without an end would put it off without an end. */
  #lookSoon(): void {
    const now = this.#options.clock.monotonic();
    const [soon, end] = [now + Math.min(...LOOKS_MS), now + Math.max(...LOOKS_MS)];
    this.#due = this.#due.filter((at, index) => at > end || (index === 0 && at < soon));
    this.#lookAfter(LOOKS_MS);
  }

  #lookAfter(delaysMs: readonly number[]): void {
    const now = this.#options.clock.monotonic();
    this.#due = [...this.#due, ...delaysMs.map((ms) => now + ms)].sort((a, b) => a - b).slice(0, 20);
    this.#wake?.();
  }

  /** Of looks that come of looks there is one: this one in the place of all before it. */
  #lookInstead(delayMs: number): void {
    const at = this.#options.clock.monotonic() + delayMs;
    this.#due = this.#due.filter((other) => other > at);
    this.#lookAfter([delayMs]);
  }

  /** The same, where those before it have another purpose. */
  #lookOnceMore(delayMs: number): void {
    const at = this.#options.clock.monotonic() + delayMs;
    if (!this.#due.some((other) => other >= at && other <= at + delayMs)) this.#lookAfter([delayMs]);
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { clock, rng, log } = this.#options;
    this.#lookAfter([0]);
    let failures = 0;
    while (!signal.aborted) {
      await this.#untilDue(signal);
      if (signal.aborted) return;
      try {
        await this.#lookOnce(signal);
        failures = 0;
        if (this.#due.length === 0) this.#lookAfter([jittered(HOURLY_MS, 0.1, rng)]);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        log.debug({ error: messageOf(error) }, 'what the cluster serves cannot be read');
        this.#lookInstead(Math.min(FAILED_MS * 2 ** Math.min(failures, 6), 300_000));
      }
      await clock.sleep(MIN_GAP_MS, signal).catch(() => undefined);
    }
  }

  async #untilDue(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const now = clock.monotonic();
      const waitMs = (this.#due[0] ?? now + HOURLY_MS) - now;
      if (waitMs <= 0 || signal.aborted) {
        this.#due = this.#due.filter((at) => at > now);
        return;
      }
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      await clock.sleep(waitMs, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
      this.#wake = undefined;
    }
  }

  async #lookOnce(signal: AbortSignal): Promise<void> {
    const { mapper, clock, onChange, onVersion } = this.#options;
    // A server that has not finished starting knows none of its CustomResourceDefinitions, and does not say so.
    const isReady = await isServerReady(this.#options.client, signal);
    mapper.invalidate();
    const seen = await mapper.capabilities();
    if (this.#gitVersion !== undefined && this.#gitVersion !== seen.gitVersion) onVersion();
    this.#gitVersion = seen.gitVersion;
    if (this.#current === undefined && !isReady) {
      this.#lookInstead(FAILED_MS);
      return;
    }
    const { list: listed, unavailable } = asServed(seen);
    const named = new Set(withUnavailable(listed, this.#list, unavailable));
    const now = clock.monotonic();
    for (const one of this.#missing.keys()) if (named.has(one)) this.#missing.delete(one);
    const kept: string[] = [];
    for (const one of this.#list) {
      if (named.has(one)) continue;
      const since = this.#missing.get(one) ?? now;
      if (isReady && now - since >= GONE_MS) this.#missing.delete(one);
      else {
        this.#missing.set(one, since);
        kept.push(one);
      }
    }
    if (kept.length > 0) this.#lookOnceMore(GONE_MS + MIN_GAP_MS);
    const list = [...named, ...kept].sort();
    const next: ServedApis = { digest: apisDigest(list), unavailable, list };
    if (!this.#isBounded(list)) return;
    this.#list = list;
    const isSame = this.#current?.digest === next.digest && this.#current.unavailable.join() === unavailable.join();
    this.#current = next;
    if (!isSame) onChange();
  }

  /** Too long a list is not cut: that would say that the rest is gone. What was reported stays. */
  #isBounded(list: readonly string[]): boolean {
    const isTooLong = !isBoundedList(list);
    if (isTooLong && !this.#isTooLong)
      this.#options.log.error(
        { entries: list.length, characters: list.join('\n').length, most: MAX_APIS },
        'the cluster serves more kinds than can be reported; charts see what was reported last',
      );
    this.#isTooLong = isTooLong;
    return !isTooLong;
  }
}

/** For the join: what is served now, or undefined where that cannot be told. */
export async function readServedApis(
  client: KubeClient,
  mapper: RestMapper,
  signal: AbortSignal,
): Promise<ServedApis | undefined> {
  if (!(await isServerReady(client, signal))) return undefined;
  mapper.invalidate();
  const { list, unavailable } = asServed(await mapper.capabilities());
  return isBoundedList(list) ? { digest: apisDigest(list), unavailable, list } : undefined;
}

function asServed({ apiVersions, unavailable }: Awaited<ReturnType<RestMapper['capabilities']>>): {
  readonly list: string[];
  readonly unavailable: string[];
} {
  const silent = [...new Set(unavailable)].filter(isApiVersion).sort();
  return { list: apiVersions.filter(isApiVersion), unavailable: silent.slice(0, MAX_UNAVAILABLE) };
}

/** Where the question is not allowed or not known, discovery is believed. */
async function isServerReady(client: KubeClient, signal: AbortSignal): Promise<boolean> {
  try {
    await client.request({ method: 'GET', path: '/readyz', accept: '*/*', signal });
    return true;
  } catch (error) {
    return hasStatus(error, 401, 403, 404);
  }
}
