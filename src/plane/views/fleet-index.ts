import { codeOf, type Log, type Service } from '#base';
import {
  Application,
  Cluster,
  Delivery,
  conditionOf,
  formatKey,
  GitRepository,
  keyOf,
  say,
  type DeliveryState,
  type Kind,
  type PlaneObject,
  type ReasonArgs,
} from '#api';
import type { Change, Store } from '#plane/store';
import { stateOf } from './state.ts';

/** A delivery, reduced to what lists show: some 200 bytes, so that 100,000 of them fit beside everything else. */
export interface IndexedDelivery {
  readonly project: string;
  readonly application: string;
  readonly cluster: string;
  readonly state: DeliveryState;
  readonly code: string;
  readonly args: ReasonArgs;
  readonly message: string;
  readonly since: string;
  readonly release: string | undefined;
}

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
  readonly sourceName: string;
  readonly release: string | undefined;
  readonly commit: string | undefined;
  readonly suspended: boolean;
  readonly code: string;
  readonly message: string;
  readonly since: string;
  readonly ready: boolean;
}

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
  readonly #byCluster = new Map<string, Set<string>>();
  readonly #byApplication = new Map<string, Set<string>>();
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

  deliveriesOfCluster(cluster: string): IndexedDelivery[] {
    return [...(this.#byCluster.get(cluster) ?? [])].flatMap((key) => this.deliveries.get(key) ?? []);
  }

  deliveriesOfApplication(project: string, application: string): IndexedDelivery[] {
    return [...(this.#byApplication.get(`${project}/${application}`) ?? [])].flatMap((key) => this.deliveries.get(key) ?? []);
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const from = await this.#load();
      try {
        for await (const batch of this.#store.changes(from, [Cluster, Application, Delivery, GitRepository], signal))
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
    this.#byCluster.clear();
    this.#byApplication.clear();
    // Changes after the first page's revision are replayed over what was read later: every entry is replaced whole.
    let from: number | undefined;
    for (const kind of [Cluster, Application, Delivery] as readonly Kind[]) {
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
        const indexed = indexDelivery(object as Delivery);
        this.deliveries.set(key, indexed);
        add(this.#byCluster, indexed.cluster, key);
        add(this.#byApplication, `${indexed.project}/${indexed.application}`, key);
        return;
      }
      default:
    }
  }

  #remove(kind: string, key: string): void {
    if (kind === 'Cluster') this.clusters.delete(key);
    else if (kind === 'Application') this.applications.delete(key);
    else if (kind === 'Delivery') {
      const known = this.deliveries.get(key);
      if (known === undefined) return;
      this.deliveries.delete(key);
      this.#byCluster.get(known.cluster)?.delete(key);
      this.#byApplication.get(`${known.project}/${known.application}`)?.delete(key);
    }
  }
}

function add(index: Map<string, Set<string>>, value: string, key: string): void {
  const keys = index.get(value);
  if (keys === undefined) index.set(value, new Set([key]));
  else keys.add(key);
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
    sourceName: object.spec.source.sourceRef.name,
    release: object.status?.release?.name,
    commit: object.status?.release?.commit,
    suspended: object.spec.suspend === true,
    code: ready?.reason ?? 'FL_SOURCE_PENDING',
    message: ready?.message ?? say({ code: 'FL_SOURCE_PENDING', args: { source: object.spec.source.sourceRef.name } }),
    since: ready?.lastTransitionTime ?? object.metadata.creationTimestamp,
    ready: ready?.status === 'True',
  };
}

function indexDelivery(object: Delivery): IndexedDelivery {
  const ready = conditionOf(object, 'Ready');
  const reason = object.status?.reason;
  const code = reason?.code ?? ready?.reason ?? 'FL_CONTACT_PENDING';
  return {
    project: object.metadata.namespace ?? '',
    application: object.spec.application,
    cluster: object.spec.cluster,
    state: ready?.status === 'True' ? 'ready' : stateOf(code) === 'ready' ? 'progressing' : stateOf(code),
    code,
    args: reason?.args ?? {},
    message: ready?.message ?? '',
    since: reason?.since ?? ready?.lastTransitionTime ?? object.metadata.creationTimestamp,
    release: object.spec.wanted?.release,
  };
}
