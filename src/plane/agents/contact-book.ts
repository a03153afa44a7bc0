import type { Contact } from '#api';

export const MIN_CONTACT_MS = 90_000;
/** A boot that comes again after another one did: within this time both are taken to be alive. */
const TWIN_MEMORY_MS = 300_000;
const MAX_BOOTS = 4;

/** What one replica heard, for the others. */
export interface SharedContact {
  readonly lastMs: number;
  readonly deadlineMs: number;
  readonly boots: readonly Readonly<Boot>[];
  readonly twinUntilMs: number;
}

interface Boot {
  readonly boot: string;
  version: string;
  firstMs: number;
  lastMs: number;
  /** Last state lane report: the one of two processes that applies. */
  reportMs: number;
}

interface Entry {
  lastMs: number | undefined;
  /** When contact counts as lost if nothing comes. */
  deadlineMs: number;
  isLost: boolean;
  boots: Boot[];
  /** Until when two processes count as alive together. */
  twinUntilMs: number;
  /** Another replica hears the agent: its contact is fresh, however young this process is. */
  isShared?: boolean;
}

/**
 * When each agent was last heard of, and by which process. Contact is lost after max(90 s, three times the interval at
 * which the agent comes); a plane that just started gives everybody that time anew. Time comes in by parameter; `sweep`
 * finds those whose time is up.
 */
export class ContactBook {
  readonly #entries = new Map<string, Entry>();
  readonly #startedMs: number;

  constructor(startedMs: number) {
    this.#startedMs = startedMs;
  }

  /** What a former process of the plane remembered. */
  remember(cluster: string, lastMs: number): void {
    if (this.#entries.has(cluster)) return;
    this.#entries.set(cluster, {
      lastMs,
      deadlineMs: this.#startedMs + MIN_CONTACT_MS,
      isLost: false,
      boots: [],
      twinUntilMs: 0,
    });
  }

  /** A request came. `intervalMs`: how long until the next is due. Returns whether what others see has changed. */
  heard(
    cluster: string,
    nowMs: number,
    intervalMs: number,
    boot?: { readonly boot: string; readonly version?: string; readonly isReport?: boolean },
  ): boolean {
    const entry = this.#entries.get(cluster) ?? { lastMs: undefined, deadlineMs: 0, isLost: false, boots: [], twinUntilMs: 0 };
    const before = this.#seen(entry, nowMs);
    this.#entries.set(cluster, entry);
    entry.lastMs = nowMs;
    // A report in between must not shorten what the last sync announced.
    entry.deadlineMs = Math.max(entry.deadlineMs, nowMs + Math.max(MIN_CONTACT_MS, 3 * intervalMs));
    entry.isLost = false;
    if (boot !== undefined) this.#note(entry, boot, nowMs);
    return this.#seen(entry, nowMs) !== before;
  }

  /** A held request was cut: the agent is due back soon, whatever it had announced. */
  cut(cluster: string, nowMs: number): void {
    const entry = this.#entries.get(cluster);
    if (entry !== undefined) entry.deadlineMs = Math.min(entry.deadlineMs, nowMs + MIN_CONTACT_MS);
  }

  /** Clusters whose contact was lost, or whose second process went, since the last sweep. */
  sweep(nowMs: number): readonly string[] {
    const changed: string[] = [];
    for (const [cluster, entry] of this.#entries) {
      const isLost = nowMs > entry.deadlineMs;
      const twinEnded = entry.twinUntilMs !== 0 && nowMs > entry.twinUntilMs;
      if (twinEnded) entry.twinUntilMs = 0;
      if (isLost !== entry.isLost || twinEnded) changed.push(cluster);
      entry.isLost = isLost;
    }
    return changed;
  }

  share(cluster: string): SharedContact | undefined {
    const entry = this.#entries.get(cluster);
    if (entry?.lastMs === undefined) return undefined;
    const { lastMs, deadlineMs, boots, twinUntilMs } = entry;
    return { lastMs, deadlineMs, boots, twinUntilMs };
  }

  /** What another replica heard. Returns whether what others see has changed. */
  adopt(cluster: string, shared: SharedContact, nowMs: number): boolean {
    const entry = this.#entries.get(cluster) ?? { lastMs: undefined, deadlineMs: 0, isLost: false, boots: [], twinUntilMs: 0 };
    const before = this.#seen(entry, nowMs);
    this.#entries.set(cluster, entry);
    // Of a plane that was away altogether: everybody gets the time of a start anew.
    const isFresh = shared.deadlineMs > nowMs;
    if (isFresh) entry.isShared = true;
    if (shared.lastMs >= (entry.lastMs ?? 0)) {
      entry.lastMs = shared.lastMs;
      entry.deadlineMs = isFresh ? shared.deadlineMs : Math.max(shared.deadlineMs, this.#startedMs + MIN_CONTACT_MS);
    }
    entry.isLost = nowMs > entry.deadlineMs;
    entry.twinUntilMs = Math.max(entry.twinUntilMs, shared.twinUntilMs);
    for (const other of shared.boots) {
      const known = entry.boots.find((one) => one.boot === other.boot);
      if (known === undefined) entry.boots.push({ ...other });
      else {
        known.firstMs = Math.min(known.firstMs, other.firstMs);
        known.lastMs = Math.max(known.lastMs, other.lastMs);
        known.reportMs = Math.max(known.reportMs, other.reportMs);
      }
    }
    entry.boots = entry.boots.toSorted((a, b) => a.firstMs - b.firstMs).slice(-MAX_BOOTS);
    return this.#seen(entry, nowMs) !== before;
  }

  forget(cluster: string): void {
    this.#entries.delete(cluster);
  }

  contact(cluster: string, nowMs: number): Contact {
    const entry = this.#entries.get(cluster);
    if (entry === undefined) {
      const isOver = nowMs > this.#startedMs + MIN_CONTACT_MS;
      return { state: isOver ? 'lost' : 'silent', lastMs: undefined, twins: undefined };
    }
    const isFresh = entry.lastMs !== undefined && (entry.isShared === true || entry.lastMs >= this.#startedMs);
    const state = nowMs > entry.deadlineMs ? 'lost' : isFresh ? 'ok' : 'silent';
    return { state, lastMs: entry.lastMs, twins: this.#twins(entry, nowMs) };
  }

  #note(
    entry: Entry,
    { boot, version, isReport }: { readonly boot: string; readonly version?: string; readonly isReport?: boolean },
    nowMs: number,
  ): void {
    entry.boots = entry.boots.filter((one) => nowMs - one.lastMs < TWIN_MEMORY_MS);
    const known = entry.boots.find((one) => one.boot === boot);
    if (known === undefined) {
      entry.boots.push({
        boot,
        version: version ?? 'version not known',
        firstMs: nowMs,
        lastMs: nowMs,
        reportMs: isReport === true ? nowMs : 0,
      });
      entry.boots = entry.boots.slice(-MAX_BOOTS);
      return;
    }
    // A restarted process never comes back: one that does, after another one came, is a second one.
    const isBack = entry.boots.some((other) => other !== known && other.firstMs > known.lastMs);
    const other = entry.boots.some((one) => one !== known && one.lastMs > known.lastMs);
    known.lastMs = nowMs;
    if (version !== undefined) known.version = version;
    if (isReport === true) known.reportMs = nowMs;
    if (isBack || (other && entry.twinUntilMs > nowMs)) entry.twinUntilMs = nowMs + MIN_CONTACT_MS;
  }

  #twins(entry: Entry, nowMs: number): Contact['twins'] {
    if (nowMs > entry.twinUntilMs || entry.boots.length < 2) return undefined;
    const [first, second] = entry.boots.toSorted((a, b) => b.lastMs - a.lastMs);
    if (first === undefined || second === undefined) return undefined;
    // By name, so that the sentence does not change with every request; who reports, applies.
    const [holder, other] = [first, second].sort(
      (a, b) => Number(b.reportMs > 0) - Number(a.reportMs > 0) || (a.boot < b.boot ? -1 : 1),
    );
    return holder === undefined || other === undefined ? undefined : { holder: nameOf(holder), other: nameOf(other) };
  }

  #seen(entry: Entry, nowMs: number): string {
    const isHeard = entry.lastMs !== undefined && (entry.isShared === true || entry.lastMs >= this.#startedMs);
    const isFresh = isHeard && !entry.isLost && nowMs <= entry.deadlineMs;
    return `${isFresh} ${JSON.stringify(this.#twins(entry, nowMs))}`;
  }
}

function nameOf({ boot, version }: Boot): string {
  return `${boot} (${version})`;
}
