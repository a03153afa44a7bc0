import { messageOf, type Log, type Service } from '#base';
import type { Post, Replicas } from '#plane/store';
import type { LiveBook } from './live-book.ts';
import type { SharedContact } from './contact-book.ts';
import type { LookBook } from './look-book.ts';
import type { SharedLane, SharedReport } from './report-book.ts';

/** A lane as other replicas read it; its reports are posts of their own, so that a change sends one. */
type LanePost = Omit<SharedLane, 'reports'> & { readonly keys: readonly string[] };

interface SignedPost {
  readonly release: string;
  readonly at: string;
}

/**
 * Makes what one replica hears of its agents known to all: contact, the state lane, when releases were signed, and what people
 * ask to see (the book of looks posts for itself; what others post comes through here). An agent
 * may come to another replica with each request, and the replica that decides is seldom the one that was told.
 *
 * A report is answered only after it was written (`settled`), so that the death of the replica that took it loses nothing.
 */
export class SharedLive implements Service {
  readonly id = 'shared-live';
  readonly #replicas: Replicas;
  readonly #live: LiveBook;
  readonly #looks: Pick<LookBook, 'adopt'>;
  readonly #log: Log;
  /** Reports by cluster, handed over but not yet part of a lane. */
  readonly #reports = new Map<string, Map<string, SharedReport | undefined>>();
  readonly #lanes = new Map<string, LanePost>();

  constructor(replicas: Replicas, live: LiveBook, looks: Pick<LookBook, 'adopt'>, log: Log) {
    this.#replicas = replicas;
    this.#live = live;
    this.#looks = looks;
    this.#log = log;
  }

  contact(cluster: string, contact: SharedContact): void {
    this.#replicas.post('contact', cluster, JSON.stringify(contact));
  }

  lane(cluster: string, { reports, ...lane }: SharedLane, changed: readonly string[]): void {
    for (const key of changed) {
      const report = reports.get(key);
      this.#replicas.post('report', `${cluster} ${key}`, report === undefined ? undefined : JSON.stringify(report));
    }
    this.#replicas.post('lane', cluster, JSON.stringify({ ...lane, keys: [...reports.keys()] } satisfies LanePost));
  }

  signed(cluster: string, project: string, application: string, post: SignedPost): void {
    this.#replicas.post('signed', `${cluster} ${project}/${application}`, JSON.stringify(post));
  }

  /** The cluster is gone; every replica sees that for itself. */
  forget(cluster: string, keys: readonly string[]): void {
    this.#replicas.post('contact', cluster, undefined);
    this.#replicas.post('lane', cluster, undefined);
    for (const key of keys) this.#replicas.post('report', `${cluster} ${key}`, undefined);
  }

  /** Everything posted so far is written. Errors: those of the store. */
  settled(): Promise<void> {
    return this.#replicas.settled();
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#reports.clear();
    this.#lanes.clear();
    await this.#replicas.follow((posts, isCurrent) => {
      for (const post of posts) this.#take(post);
      // Half of a lane would look like one that lacks reports.
      if (isCurrent) this.#adopt();
    }, signal);
  }

  #take({ topic, key, value }: Post): void {
    try {
      const space = key.indexOf(' ');
      const [cluster, rest] = [key.slice(0, space), key.slice(space + 1)];
      // Values are what other processes of this plane posted, through the methods above.
      switch (topic) {
        case 'contact':
          if (value !== undefined) this.#live.adoptContact(key, JSON.parse(value) as SharedContact);
          return;
        case 'look':
        case 'looked':
          this.#looks.adopt({ topic, key, value });
          return;
        case 'lane':
          if (value === undefined) this.#lanes.delete(key);
          else this.#lanes.set(key, JSON.parse(value) as LanePost);
          return;
        case 'report': {
          const reports = this.#reports.get(cluster) ?? new Map<string, SharedReport | undefined>();
          this.#reports.set(cluster, reports.set(rest, value === undefined ? undefined : (JSON.parse(value) as SharedReport)));
          return;
        }
        case 'signed': {
          const [project = '', application = ''] = rest.split('/');
          const { release, at } = JSON.parse(value ?? '{}') as SignedPost;
          this.#live.adoptSigned(cluster, project, application, release, at);
          return;
        }
        default:
          return;
      }
    } catch (error) {
      this.#log.warn(
        { topic, key, error: messageOf(error) },
        'a post of another replica cannot be read; is it of another version?',
      );
    }
  }

  #adopt(): void {
    for (const [cluster, { keys, ...lane }] of this.#lanes) {
      this.#live.adoptLane(cluster, lane, keys, this.#reports.get(cluster) ?? new Map());
      this.#reports.delete(cluster);
    }
    this.#lanes.clear();
  }
}
