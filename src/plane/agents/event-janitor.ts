import { Event, Project } from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import type { Transaction } from '#plane/store';

export const EVENT_TTL_MS = 24 * 3_600_000;
export const EVENTS_PER_PROJECT = 2_000;
const LOOK_AGAIN_MS = 600_000;
/** New rows of a project after which it is looked at out of turn. */
const WAKE_EVERY = 250;
const CHUNK = 500;

/** Keeps the events of a project for a day, and the newest 2,000 of them. */
export class EventJanitor implements Controller {
  readonly name = 'event-janitor';
  readonly concurrency = 1;
  readonly #added = new Map<string, number>();

  readonly wakes = [
    wakeOn(Project, ({ after, type }) => (type === 'modified' ? [] : [after.metadata.name])),
    wakeOn(Event, ({ after, type }) => {
      if (type !== 'added') return [];
      const namespace = after.metadata.namespace ?? '';
      const added = (this.#added.get(namespace) ?? 0) + 1;
      this.#added.set(namespace, added % WAKE_EVERY);
      return added >= WAKE_EVERY ? [namespace] : [];
    }),
  ];

  async initial(read: Reader): Promise<readonly string[]> {
    return (await read.list(Project)).items.map((project) => project.metadata.name);
  }

  async reconcile(namespace: string, { read, clock }: ReconcileContext): Promise<ReconcileResult> {
    const rows: { readonly name: string; readonly lastAt: string }[] = [];
    let after: { namespace: string; name: string } | undefined;
    do {
      const page = await read.list(Event, { namespace, limit: 1000, ...(after === undefined ? {} : { after }) });
      for (const event of page.items) rows.push({ name: event.metadata.name, lastAt: event.spec.lastAt });
      after = page.next;
    } while (after !== undefined);
    const oldest = new Date(clock.now() - EVENT_TTL_MS).toISOString();
    const doomed = rows
      .sort((a, b) => (a.lastAt < b.lastAt ? 1 : -1))
      .filter((row, index) => index >= EVENTS_PER_PROJECT || row.lastAt < oldest);
    const chunks: Transaction[] = [];
    for (let at = 0; at < doomed.length; at += CHUNK) {
      chunks.push({
        write: doomed.slice(at, at + CHUNK).map((row) => ({ op: 'delete', kind: Event, key: { namespace, name: row.name } })),
      });
    }
    return { ...(chunks.length === 0 ? {} : { chunks }), againMs: LOOK_AGAIN_MS };
  }
}
