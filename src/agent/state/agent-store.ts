import type { AgentEvent, Bundle, DesiredPosition, DesiredState, Envelope, KeySet } from '#api';
import { openKeySet } from '#api';
import { FairleadError, type Sensitive } from '#base';
import type { AppRecord, Drift, InventoryItem, ObjectKey, RetiredRecord } from '../core/model.ts';
import { generateKeys, parseKeys, type AgentKeys } from '../link/identity.ts';
import { readHeld } from '../link/verify.ts';
import type { Medium } from './medium.ts';
import type { StateStore } from './store.ts';

/** What binds this agent to its plane; written once at joining, and when the key set changes. */
export interface Membership {
  readonly planeUrl: string;
  readonly rootHash: string;
  readonly cluster: string;
  readonly kubeSystemUid: string;
  readonly receipt: Envelope;
  readonly keySet: Envelope;
}

export interface Outbox {
  readonly events: readonly AgentEvent[];
  readonly gap: number;
}

interface StoredRecord extends Omit<AppRecord, 'inventory'> {
  /** `[key, version]`, and `'keep'` where it is let go of instead of deleted. */
  readonly inventory: readonly (readonly [ObjectKey, string, 'keep'?])[];
}

/**
 * The agent's memory, typed. Keys: `keys`, `membership`, `desired` (the envelope: document and floor in one), `app/…`,
 * `retired`, `event/…`, `correcting/…`, `gap`, `bundle/<digest>`, `object/<digest>`. Sealed objects are stored as they came.
 */
export class AgentStore {
  readonly #store: StateStore;
  /** See `Medium`. */
  readonly exclusiveUser: string | undefined;
  /** See `Medium`. */
  readonly writeGapMs: number;
  /** Applications with a `correcting/…`: asked for at every change of the state. */
  readonly #correcting: Set<string>;
  /** Ids of the events that are stored, or about to be. */
  readonly #events: Set<string>;

  constructor(store: StateStore, medium: Pick<Medium, 'exclusiveUser' | 'writeGapMs'>) {
    this.#store = store;
    this.exclusiveUser = medium.exclusiveUser;
    this.writeGapMs = medium.writeGapMs;
    this.#events = new Set(store.keys('event/').map((key) => key.slice('event/'.length)));
    this.#correcting = new Set(store.keys('correcting/').map((key) => key.slice('correcting/'.length)));
  }

  get stats(): StateStore['stats'] {
    return this.#store.stats;
  }

  /** The keys of this agent; made and stored at the first call ever. */
  async keys(): Promise<AgentKeys> {
    const stored = this.#store.get('keys');
    if (stored !== undefined) return parseKeys(stored);
    const keys = await generateKeys();
    await this.#put({ keys: keys.serialize() });
    return keys;
  }

  membership(): Membership | undefined {
    return this.#json('membership') as Membership | undefined;
  }

  async setMembership(membership: Membership): Promise<void> {
    await this.#put({ membership });
  }

  keySet(membership: Membership): KeySet {
    return openKeySet(membership.keySet, membership.rootHash);
  }

  held(): { readonly envelope: Envelope; readonly document: DesiredState; readonly position: DesiredPosition } | undefined {
    const envelope = this.#json('desired') as Envelope | undefined;
    return envelope === undefined ? undefined : { envelope, ...readHeld(envelope) };
  }

  async setHeld(envelope: Envelope): Promise<void> {
    await this.#put({ desired: envelope });
  }

  records(): AppRecord[] {
    return this.#store.keys('app/').flatMap((key) => {
      const stored = this.#json(key) as StoredRecord | undefined;
      if (stored === undefined) return [];
      const inventory = new Map<ObjectKey, InventoryItem>(
        stored.inventory.map(([id, version, keep]) => [id, { version, ...(keep === undefined ? {} : { isKept: true }) }]),
      );
      return [{ ...stored, inventory }];
    });
  }

  retired(): Map<string, RetiredRecord> {
    return new Map(Object.entries((this.#json('retired') as Record<string, RetiredRecord> | undefined) ?? {}));
  }

  outbox(): Outbox {
    const events = this.#store.keys('event/').flatMap((key) => (this.#json(key) as AgentEvent | undefined) ?? []);
    events.sort((a, b) => (a.at === b.at ? numberOf(a) - numberOf(b) : a.at < b.at ? -1 : 1));
    return { events, gap: this.gap() };
  }

  /**
   * Brings the stored outbox up to this one. Each event is a value of its own, because some become durable with a record:
   * those of writes that are still under way (`pending`) are left as they are. `corrected`: applications whose corrections
   * are all told by these events.
   */
  async setOutbox(outbox: Outbox, pending: ReadonlySet<string>, corrected: readonly string[]): Promise<void> {
    const changes = new Map<string, Uint8Array | undefined>();
    for (const app of corrected) {
      changes.set(`correcting/${app}`, undefined);
      this.#correcting.delete(app);
    }
    const keep = new Set(outbox.events.map((event) => event.id));
    for (const id of this.#events) {
      if (keep.has(id) || pending.has(id)) continue;
      changes.set(`event/${id}`, undefined);
      this.#events.delete(id);
    }
    for (const event of outbox.events) {
      if (this.isDurable(event.id)) continue;
      changes.set(`event/${event.id}`, Buffer.from(JSON.stringify(event)));
      this.#events.add(event.id);
    }
    if (this.gap() !== outbox.gap) changes.set('gap', Buffer.from(JSON.stringify(outbox.gap)));
    await this.#store.commit(changes);
  }

  /** How many events are stored, or about to be. */
  get eventCount(): number {
    return this.#events.size;
  }

  /** Whether this event survives the process. */
  isDurable(event: string): boolean {
    return this.#store.get(`event/${event}`) !== undefined;
  }

  /**
   * What is about to be put back: durable before it is, so that a process that follows can tell of it. It takes the place of
   * the corrections before, so what `events` tell of those becomes durable with it.
   */
  async setCorrecting(app: string, drifts: ReadonlyMap<ObjectKey, Drift>, events: readonly AgentEvent[]): Promise<void> {
    const untold = events.filter((event) => !this.isDurable(event.id));
    this.#correcting.add(app);
    for (const event of untold) this.#events.add(event.id);
    await this.#put({
      [`correcting/${app}`]: [...drifts],
      ...Object.fromEntries(untold.map((event) => [`event/${event.id}`, event])),
    });
  }

  correcting(): ReadonlySet<string> {
    return this.#correcting;
  }

  begun(): Map<string, ReadonlyMap<ObjectKey, Drift>> {
    return new Map(
      [...this.#correcting].map((app) => {
        const stored = (this.#json(`correcting/${app}`) ?? []) as readonly (readonly [ObjectKey, Drift])[];
        return [app, new Map(stored)];
      }),
    );
  }

  gap(): number {
    const stored = this.#json('gap');
    return typeof stored === 'number' ? stored : 0;
  }

  /** One write: the record (undefined: gone), what was retired with it, and what is to be said about it. */
  async setRecord(
    app: string,
    record: AppRecord | undefined,
    also: { readonly retired?: ReadonlyMap<string, RetiredRecord>; readonly events?: readonly AgentEvent[] },
  ): Promise<void> {
    const stored: StoredRecord | undefined =
      record === undefined
        ? undefined
        : {
            ...record,
            inventory: [...record.inventory].map(([id, { version, isKept }]) =>
              isKept === true ? [id, version, 'keep'] : [id, version],
            ),
          };
    for (const event of also.events ?? []) this.#events.add(event.id);
    await this.#put({
      [`app/${app}`]: stored,
      ...(also.retired === undefined ? {} : { retired: Object.fromEntries(also.retired) }),
      ...Object.fromEntries((also.events ?? []).map((event) => [`event/${event.id}`, event])),
    });
  }

  bundle(digest: string): Bundle | undefined {
    return this.#json(`bundle/${digest}`) as Bundle | undefined;
  }

  /** The bytes as they came: canonical JSON, or sealed. */
  object(digest: string): Buffer | undefined {
    return this.#store.get(`object/${digest}`);
  }

  hasObject(digest: string): boolean {
    return this.#store.get(`object/${digest}`) !== undefined;
  }

  /** Verified content by digest. */
  async addContent(content: {
    readonly bundles: ReadonlyMap<string, Uint8Array>;
    readonly objects: ReadonlyMap<string, Uint8Array>;
  }): Promise<void> {
    const changes = new Map<string, Uint8Array>();
    for (const [digest, bytes] of content.objects) changes.set(`object/${digest}`, bytes);
    for (const [digest, bytes] of content.bundles) changes.set(`bundle/${digest}`, bytes);
    await this.#store.commit(changes);
  }

  /** Drops content that neither these bundles nor the hooks of a removal need; returns how many values went. */
  async dropContentBut(bundles: ReadonlySet<string>): Promise<number> {
    const needed = new Set<string>();
    for (const record of this.records()) for (const hook of record.deleteHooks ?? []) needed.add(`object/${hook.digest}`);
    for (const digest of bundles) {
      needed.add(`bundle/${digest}`);
      const bundle = this.bundle(digest);
      for (const entry of [...(bundle?.entries ?? []), ...(bundle?.hooks ?? [])]) needed.add(`object/${entry.digest}`);
    }
    const gone = [...this.#store.keys('bundle/'), ...this.#store.keys('object/')].filter((key) => !needed.has(key));
    if (gone.length > 0) await this.#store.commit(new Map(gone.map((key) => [key, undefined])));
    return gone.length;
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  async #put(values: Readonly<Record<string, unknown>>): Promise<void> {
    const changes = new Map<string, Uint8Array | undefined>();
    for (const [key, value] of Object.entries(values)) changes.set(key, encode(value));
    await this.#store.commit(changes);
  }

  /** Written by this class: the caller knows the shape. */
  #json(key: string): unknown {
    const bytes = this.#store.get(key);
    if (bytes === undefined) return undefined;
    try {
      return JSON.parse(bytes.toString('utf8'));
    } catch (cause) {
      throw new FairleadError('FL_STATE_CORRUPT', `the stored ${key} cannot be read; delete the state and join again`, {
        kind: 'internal',
        cause,
      });
    }
  }
}

/** Events of one start are numbered. */
function numberOf(event: AgentEvent): number {
  return Number(event.id.slice(event.id.lastIndexOf('-') + 1));
}

function encode(value: unknown): Uint8Array | undefined {
  if (value === undefined) return undefined;
  if (isSensitiveBytes(value)) return value.reveal();
  return Buffer.from(JSON.stringify(value));
}

function isSensitiveBytes(value: unknown): value is Sensitive<Buffer> {
  return typeof value === 'object' && value !== null && 'reveal' in value;
}
