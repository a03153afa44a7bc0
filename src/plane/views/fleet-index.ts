import { codeOf, type Log, type Service } from '#base';
import {
  Application,
  Cluster,
  Delivery,
  Event,
  conditionOf,
  deliveryStates,
  formatKey,
  GitRepository,
  keyOf,
  say,
  type ActivityItem,
  type DeliveryState,
  type Kind,
  type PlaneObject,
  type ReasonArgs,
} from '#api';
import type { Change, Store } from '#plane/store';
import { stateOf } from './state.ts';

/**
 * A delivery, reduced to what lists show: some 300 bytes (measured by `npm run bench -- console`), so that 100,000 of them
 * fit beside everything else. Names are shared between rows; what is ready keeps no sentence, it can be said again.
 */
export interface IndexedDelivery {
  readonly project: string;
  readonly application: string;
  readonly cluster: string;
  readonly state: DeliveryState;
  readonly code: string;
  readonly args: ReasonArgs;
  /** undefined: the sentence of the code, with these arguments. */
  readonly message: string | undefined;
  readonly since: string;
  readonly release: string | undefined;
}

/** The deliveries of one cluster or application, and how many are in each state. */
export class Tally {
  readonly members = new Set<IndexedDelivery>();
  readonly #counts = new Map<DeliveryState, number>();

  get total(): number {
    return this.members.size;
  }

  count(state: DeliveryState): number {
    return this.#counts.get(state) ?? 0;
  }

  /** The worst state of any of them; ready when there are none. */
  get worst(): DeliveryState {
    return deliveryStates.find((state) => this.count(state) > 0) ?? 'ready';
  }

  add(delivery: IndexedDelivery): void {
    this.members.add(delivery);
    this.#counts.set(delivery.state, this.count(delivery.state) + 1);
  }

  remove(delivery: IndexedDelivery): void {
    if (this.members.delete(delivery)) this.#counts.set(delivery.state, this.count(delivery.state) - 1);
  }
}

const noTally = new Tally();
const noArgs: ReasonArgs = {};

export interface IndexedCluster {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly joined: boolean;
  readonly code: string;
  readonly message: string;
  readonly ready: boolean;
  readonly kubernetesVersion: string | undefined;
  readonly agentVersion: string | undefined;
}

export interface IndexedApplication {
  readonly project: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly sourceName: string;
  /** Whether it has files of other sources beside its own. */
  readonly hasFiles: boolean;
  readonly release: string | undefined;
  readonly commit: string | undefined;
  readonly suspended: boolean;
  readonly code: string;
  readonly args: ReasonArgs;
  readonly message: string;
  readonly since: string;
  readonly ready: boolean;
}

/** Sentences are cut here: a mirror of 100,000 rows holds no essays. */
const MAX_MESSAGE = 1024;
/** Newest events kept; older ones stay in the store until its janitor takes them. */
const MAX_EVENTS = 20_000;
/** Distinct names shared between rows; beyond it sharing starts anew. */
const MAX_SHARED = 50_000;

/** A doorbell listener: something of this kind and project changed. */
export type Listener = (kind: string, project: string, revision: number) => void;

/**
 * What lists and counts are made from: a small mirror of the fleet in memory, filled by one list and kept by the change
 * log. It can always be thrown away and built again.
 */
export class FleetIndex implements Service {
  readonly id = 'fleet-index';
  readonly #store: Store;
  readonly #log: Log;
  readonly #listeners = new Set<Listener>();
  readonly clusters = new Map<string, IndexedCluster>();
  readonly applications = new Map<string, IndexedApplication>();
  readonly deliveries = new Map<string, IndexedDelivery>();
  /** Those that are not ready. */
  readonly unready = new Set<IndexedDelivery>();
  readonly #byCluster = new Map<string, Tally>();
  readonly #byApplication = new Map<string, Tally>();
  readonly #events = new Map<string, ActivityItem>();
  #eventsInOrder: readonly (readonly [key: string, item: ActivityItem])[] | undefined;
  readonly #shared = new Map<string, string>();
  #revision = 0;

  constructor(options: { readonly store: Store; readonly log: Log }) {
    this.#store = options.store;
    this.#log = options.log;
  }

  /** The revision up to which this mirror is complete. */
  get revision(): number {
    return this.#revision;
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  ofCluster(cluster: string): Tally {
    return this.#byCluster.get(cluster) ?? noTally;
  }

  ofApplication(project: string, application: string): Tally {
    return this.#byApplication.get(`${project}/${application}`) ?? noTally;
  }

  /** Newest first, with the key that orders events of one moment. */
  events(): readonly (readonly [key: string, item: ActivityItem])[] {
    this.#eventsInOrder ??= [...this.#events]
      .map(([key, item]) => [`${item.at} ${key}`, item] as const)
      .sort(([a], [b]) => (a < b ? 1 : -1));
    return this.#eventsInOrder;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const from = await this.#load();
      try {
        for await (const batch of this.#store.changes(from, [Cluster, Application, Delivery, GitRepository, Event], signal))
          this.#apply(batch);
      } catch (error) {
        if (codeOf(error) !== 'FL_STORE_COMPACTED') throw error;
        this.#log.warn({ revision: this.#revision }, 'the change log does not reach back far enough; reading the fleet anew');
      }
    }
  }

  /** Reads everything; the answer is the revision from which changes are to be followed. */
  async #load(): Promise<number> {
    this.clusters.clear();
    this.applications.clear();
    this.deliveries.clear();
    this.unready.clear();
    this.#events.clear();
    this.#eventsInOrder = undefined;
    this.#byCluster.clear();
    this.#byApplication.clear();
    // Changes after the first page's revision are replayed over what was read later: every entry is replaced whole.
    let from: number | undefined;
    for (const kind of [Cluster, Application, Delivery, Event] as readonly Kind[]) {
      let after: { readonly namespace: string; readonly name: string } | undefined;
      do {
        const page = await this.#store.list(kind, { limit: 1000, ...(after === undefined ? {} : { after }) });
        from ??= page.revision;
        for (const object of page.items) this.#put(object);
        after = page.next;
      } while (after !== undefined);
    }
    this.#revision = from ?? 0;
    return this.#revision;
  }

  #apply(batch: readonly Change[]): void {
    for (const change of batch) {
      if (change.type === 'deleted') this.#remove(change.kind, formatKey(change.key));
      else if (change.kind !== 'GitRepository') this.#put(JSON.parse(change.after) as PlaneObject);
      this.#revision = change.revision;
      for (const listener of this.#listeners) listener(change.kind, change.key.namespace, change.revision);
    }
  }

  #put(object: PlaneObject): void {
    const key = formatKey(keyOf(object));
    switch (object.kind) {
      case 'Cluster':
        this.clusters.set(key, indexCluster(object as Cluster));
        return;
      case 'Application':
        this.applications.set(key, indexApplication(object as Application));
        return;
      case 'Delivery': {
        this.#remove('Delivery', key);
        const indexed = this.#indexDelivery(object as Delivery);
        this.deliveries.set(key, indexed);
        if (indexed.state !== 'ready') this.unready.add(indexed);
        tallyOf(this.#byCluster, indexed.cluster).add(indexed);
        tallyOf(this.#byApplication, `${indexed.project}/${indexed.application}`).add(indexed);
        return;
      }
      case 'Event':
        // Set anew, so that the map stays in the order of the last occurrence, or nearly.
        this.#events.delete(key);
        this.#events.set(key, activityItem(object as Event));
        this.#eventsInOrder = undefined;
        if (this.#events.size > MAX_EVENTS) {
          const [oldest] = this.#events.keys();
          if (oldest !== undefined) this.#events.delete(oldest);
        }
        return;
      default:
    }
  }

  #remove(kind: string, key: string): void {
    if (kind === 'Cluster') this.clusters.delete(key);
    else if (kind === 'Application') this.applications.delete(key);
    else if (kind === 'Event') {
      if (this.#events.delete(key)) this.#eventsInOrder = undefined;
    } else if (kind === 'Delivery') {
      const known = this.deliveries.get(key);
      if (known === undefined) return;
      this.deliveries.delete(key);
      this.unready.delete(known);
      leave(this.#byCluster, known.cluster, known);
      leave(this.#byApplication, `${known.project}/${known.application}`, known);
    }
  }

  #indexDelivery(object: Delivery): IndexedDelivery {
    const ready = conditionOf(object, 'Ready');
    const reason = object.status?.reason;
    const code = reason?.code ?? ready?.reason ?? 'FL_CONTACT_PENDING';
    const state = ready?.status === 'True' ? 'ready' : stateOf(code) === 'ready' ? 'progressing' : stateOf(code);
    const release = object.spec.wanted?.release;
    const isPlain = state === 'ready' && ready?.message === say({ code, args: { release } });
    return {
      project: this.#share(object.metadata.namespace ?? ''),
      application: this.#share(object.spec.application),
      cluster: this.#share(object.spec.cluster),
      state,
      code: this.#share(code),
      args: state === 'ready' ? noArgs : (reason?.args ?? noArgs),
      message: isPlain ? undefined : this.#share((ready?.message ?? '').slice(0, MAX_MESSAGE)),
      since: reason?.since ?? ready?.lastTransitionTime ?? object.metadata.creationTimestamp,
      release: release === undefined ? undefined : this.#share(release),
    };
  }

  /** One string object for equal texts: every row of JSON brings its own otherwise. */
  #share(text: string): string {
    const known = this.#shared.get(text);
    if (known !== undefined) return known;
    if (this.#shared.size >= MAX_SHARED) this.#shared.clear();
    this.#shared.set(text, text);
    return text;
  }
}

/** What a delivery says. */
export function sentenceOf({ code, args, message, release }: IndexedDelivery): string {
  return message ?? say({ code, args: { ...args, release } });
}

function tallyOf(tallies: Map<string, Tally>, name: string): Tally {
  const known = tallies.get(name);
  if (known !== undefined) return known;
  const tally = new Tally();
  tallies.set(name, tally);
  return tally;
}

function leave(tallies: Map<string, Tally>, name: string, delivery: IndexedDelivery): void {
  const tally = tallies.get(name);
  tally?.remove(delivery);
  if (tally?.total === 0) tallies.delete(name);
}

function activityItem({ spec }: Event): ActivityItem {
  const { kind, namespace, name } = spec.involvedObject;
  return {
    at: spec.lastAt,
    type: spec.type,
    code: spec.code,
    sentence: spec.message.slice(0, MAX_MESSAGE),
    kind,
    namespace,
    name,
    // The name of a Delivery is <application>.<cluster>, and an Application's has no dot.
    application: kind === 'Delivery' ? name.split('.')[0] : kind === 'Application' ? name : undefined,
    cluster: spec.cluster ?? (kind === 'Cluster' ? name : undefined),
    count: spec.count,
  };
}

function indexCluster(object: Cluster): IndexedCluster {
  const ready = conditionOf(object, 'Ready');
  return {
    name: object.metadata.name,
    labels: object.metadata.labels ?? {},
    joined: object.status?.agent !== undefined,
    code: ready?.reason ?? 'FL_CONTACT_NEVER',
    message: ready?.message ?? say({ code: 'FL_CONTACT_NEVER', args: { cluster: object.metadata.name } }),
    ready: ready?.status === 'True',
    kubernetesVersion: object.status?.facts?.['kubernetesVersion'],
    agentVersion: object.status?.agent?.version,
  };
}

function indexApplication(object: Application): IndexedApplication {
  const ready = conditionOf(object, 'Ready');
  return {
    project: object.metadata.namespace ?? '',
    name: object.metadata.name,
    labels: object.metadata.labels ?? {},
    sourceName: object.spec.source.sourceRef.name,
    hasFiles: (object.spec.source.files ?? []).length > 0,
    release: object.status?.release?.name,
    commit: object.status?.release?.commit,
    suspended: object.spec.suspend === true,
    code: ready?.reason ?? 'FL_SOURCE_PENDING',
    args: object.status?.reason?.args ?? {},
    message: ready?.message ?? say({ code: 'FL_SOURCE_PENDING', args: { source: object.spec.source.sourceRef.name } }),
    since: ready?.lastTransitionTime ?? object.metadata.creationTimestamp,
    ready: ready?.status === 'True',
  };
}
