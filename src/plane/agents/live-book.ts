import type { Clock } from '#base';
import type { Contact, LiveChange, LiveState, StateLane } from '#api';
import { ContactBook } from './contact-book.ts';
import { ReportBook } from './report-book.ts';

const MAX_SIGNED = 200_000;

/** `LiveState` as the agents room keeps it. */
export class LiveBook implements LiveState {
  readonly contacts: ContactBook;
  readonly reports = new ReportBook();
  readonly #clock: Clock;
  readonly #listeners = new Set<(change: LiveChange) => void>();
  readonly #signed = new Map<string, string>();

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

  /** Remembers when a release was signed for a cluster; the oldest memory goes first. */
  noteSigned(cluster: string, project: string, application: string, release: string, at: string): void {
    const key = `${cluster} ${project}/${application} ${release}`;
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
    this.contacts.forget(cluster);
    this.reports.forget(cluster);
    this.tell({ of: 'cluster', cluster });
  }
}
