import type { Clock } from '#base';
import type { Contact, LiveChange, LiveState, ReportRequest, StateLane } from '#api';
import { ContactBook, type SharedContact } from './contact-book.ts';
import { ReportBook, type SharedLane, type SharedReport, type Taken } from './report-book.ts';
import type { SharedLive } from './shared-live.ts';

const MAX_SIGNED = 200_000;

/** `LiveState` as the agents room keeps it, together with other replicas of the plane where there are any. */
export class LiveBook implements LiveState {
  readonly contacts: ContactBook;
  readonly reports = new ReportBook();
  readonly #clock: Clock;
  readonly #listeners = new Set<(change: LiveChange) => void>();
  readonly #signed = new Map<string, string>();
  /** Set once, before the first request. */
  shared: SharedLive | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.contacts = new ContactBook(clock.now());
  }

  contact(cluster: string): Contact {
    return this.contacts.contact(cluster, this.#clock.now());
  }

  lane(cluster: string): StateLane | undefined {
    return this.reports.lane(cluster);
  }

  signedAt(cluster: string, project: string, application: string, release: string): string | undefined {
    return this.#signed.get(`${cluster} ${project}/${application} ${release}`);
  }

  /** A request of an agent came; see `ContactBook.heard`. Returns whether what others see has changed. */
  heard(cluster: string, nowMs: number, intervalMs: number, boot: Parameters<ContactBook['heard']>[3]): boolean {
    const isNews = this.contacts.heard(cluster, nowMs, intervalMs, boot);
    this.#shareContact(cluster);
    return isNews;
  }

  /** A held request was cut. */
  cut(cluster: string, nowMs: number): void {
    this.contacts.cut(cluster, nowMs);
    this.#shareContact(cluster);
  }

  takeReport(cluster: string, report: ReportRequest, signedAtMs: number): Taken {
    const taken = this.reports.take(cluster, report, this.#clock.now(), signedAtMs);
    const lane = taken.is === 'taken' ? this.reports.share(cluster) : undefined;
    if (taken.is === 'taken' && lane !== undefined) this.shared?.lane(cluster, lane, taken.changed);
    return taken;
  }

  /** What was taken survives this process. Errors: those of the store. */
  async settled(): Promise<void> {
    await this.shared?.settled();
  }

  adoptContact(cluster: string, contact: SharedContact): void {
    if (this.contacts.adopt(cluster, contact, this.#clock.now())) this.tell({ of: 'cluster', cluster });
  }

  adoptLane(
    cluster: string,
    lane: Omit<SharedLane, 'reports'>,
    keys: readonly string[],
    reports: ReadonlyMap<string, SharedReport | undefined>,
  ): void {
    const adopted = this.reports.adopt(cluster, lane, keys, reports);
    if (adopted === undefined) return;
    for (const key of adopted.changed) this.tellReport(cluster, key);
    if (adopted.agentChanged) this.tell({ of: 'cluster', cluster });
  }

  adoptSigned(cluster: string, project: string, application: string, release: string, at: string): void {
    this.#noteSigned(`${cluster} ${project}/${application} ${release}`, at);
  }

  /** `key` is `project/application`. */
  tellReport(cluster: string, key: string): void {
    const slash = key.indexOf('/');
    this.tell({ of: 'report', cluster, project: key.slice(0, slash), application: key.slice(slash + 1) });
  }

  #shareContact(cluster: string): void {
    const contact = this.shared === undefined ? undefined : this.contacts.share(cluster);
    if (contact !== undefined) this.shared?.contact(cluster, contact);
  }

  /** Remembers when a release was signed for a cluster; the oldest memory goes first. */
  noteSigned(cluster: string, project: string, application: string, release: string, at: string): void {
    this.#noteSigned(`${cluster} ${project}/${application} ${release}`, at);
    this.shared?.signed(cluster, project, application, { release, at });
  }

  #noteSigned(key: string, at: string): void {
    if (this.#signed.has(key)) return;
    this.#signed.set(key, at);
    if (this.#signed.size <= MAX_SIGNED) return;
    const [oldest] = this.#signed.keys();
    if (oldest !== undefined) this.#signed.delete(oldest);
  }

  subscribe(listener: (change: LiveChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(change: LiveChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  forget(cluster: string): void {
    this.shared?.forget(cluster, [...(this.reports.share(cluster)?.reports.keys() ?? [])]);
    this.contacts.forget(cluster);
    this.reports.forget(cluster);
    this.tell({ of: 'cluster', cluster });
  }
}
