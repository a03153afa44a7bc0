import { isDeepStrictEqual } from 'node:util';
import { AgentIdentity, Application, Cluster, formatKey, keyOf, selects, type Project, type RenderOptions } from '#api';
import { wakeOn, type ObjectChange, type Reader, type Wake } from '#plane/engine';
import { Shadow } from './shadow.ts';
import { mergedRender } from './targets.ts';

/** Of a Cluster, all that decides what is delivered to it. */
export interface FleetCluster {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
  readonly isSuspended: boolean;
  readonly isDeleting: boolean;
  /** The sealing key of its agent (`age1…`); undefined until one has joined. */
  readonly sealingKey: string | undefined;
}

type ClusterView = Omit<FleetCluster, 'sealingKey'>;

/** Of an Application, what decides which clusters concern it. */
interface ApplicationView {
  readonly key: string;
  readonly namespace: string;
  readonly targets: NonNullable<Application['spec']['targets']>;
  readonly usesFacts: boolean;
}

/** All clusters and the targets of all Applications: who concerns whom. */
export class Fleet {
  readonly #clusters = new Shadow(Cluster, viewOfCluster);
  readonly #identities = new Shadow(AgentIdentity, viewOfIdentity);
  readonly #applications = new Shadow(Application, viewOfApplication);
  #sorted: { readonly version: number; readonly clusters: readonly FleetCluster[] } | undefined;

  /** By name. */
  async clusters(read: Reader): Promise<readonly FleetCluster[]> {
    await this.#clusters.load(read);
    await this.#identities.load(read);
    const version = this.#clusters.version + this.#identities.version;
    if (this.#sorted?.version !== version) {
      const clusters = [...this.#clusters.values()].map((view) => ({
        ...view,
        sealingKey: this.#identities.get(view.name)?.sealingKey,
      }));
      this.#sorted = { version, clusters: clusters.sort((a, b) => (a.name < b.name ? -1 : 1)) };
    }
    return this.#sorted.clusters;
  }

  /** Reads everything anew, for the start of a controller: changes may have been missed before it. */
  async reload(read: Reader): Promise<void> {
    await Promise.all([this.#clusters.reload(read), this.#identities.reload(read), this.#applications.reload(read)]);
  }

  /** Keeps the fleet, and wakes the Applications that a change of a Cluster, an agent or themselves concerns. */
  wakes(): readonly Wake[] {
    return [
      wakeOn(Application, (change) => {
        this.#applications.take(change);
        return isOwnNews(change) ? [formatKey(keyOf(change.after))] : [];
      }),
      wakeOn(Cluster, async (change, read) => {
        this.#clusters.take(change);
        const before = change.before === undefined ? undefined : viewOfCluster(change.before);
        const after = change.type === 'deleted' ? undefined : viewOfCluster(change.after);
        if (isDeepStrictEqual(before, after)) return [];
        const isOnlyFacts =
          before !== undefined && after !== undefined && isDeepStrictEqual({ ...before, facts: {} }, { ...after, facts: {} });
        return this.#concerned(read, [before, after], isOnlyFacts);
      }),
      wakeOn(AgentIdentity, async (change, read) => {
        this.#identities.take(change);
        const { type, before, after } = change;
        if (type === 'modified' && before !== undefined && isDeepStrictEqual(viewOfIdentity(before), viewOfIdentity(after)))
          return [];
        await this.#clusters.load(read);
        return this.#concerned(read, [this.#clusters.get(change.after.metadata.name)], false);
      }),
    ];
  }

  /** Applications of a project. */
  async applicationsOf(read: Reader, project: Project): Promise<string[]> {
    await this.#applications.load(read);
    return [...this.#applications.values()].filter(({ namespace }) => namespace === project.metadata.name).map(({ key }) => key);
  }

  async #concerned(read: Reader, images: readonly (ClusterView | undefined)[], isOnlyFacts: boolean): Promise<string[]> {
    await this.#applications.load(read);
    const keys: string[] = [];
    for (const application of this.#applications.values()) {
      if (isOnlyFacts && !application.usesFacts) continue;
      const isConcerned = images.some(
        (image) => image !== undefined && application.targets.some((t) => selects(t.clusterSelector, image.labels)),
      );
      if (isConcerned) keys.push(application.key);
    }
    return keys;
  }
}

/** Whether more than the status of an Application changed. */
function isOwnNews({ type, before, after }: ObjectChange<Application['spec'], Application['status']>): boolean {
  return (
    type !== 'modified' ||
    before === undefined ||
    before.metadata.generation !== after.metadata.generation ||
    before.metadata.deletionTimestamp !== after.metadata.deletionTimestamp ||
    !isDeepStrictEqual(before.metadata.finalizers, after.metadata.finalizers)
  );
}

function viewOfCluster(cluster: Cluster): ClusterView {
  return {
    name: cluster.metadata.name,
    labels: cluster.metadata.labels ?? {},
    facts: cluster.status?.facts ?? {},
    isSuspended: cluster.spec.suspend === true,
    isDeleting: cluster.metadata.deletionTimestamp !== undefined,
  };
}

function viewOfIdentity({ metadata, spec }: AgentIdentity): { readonly name: string; readonly sealingKey: string | undefined } {
  return { name: metadata.name, sealingKey: spec.detached === true ? undefined : spec.sealingKey };
}

function viewOfApplication(application: Application): ApplicationView {
  const { targets = [], render } = application.spec;
  return {
    key: formatKey(keyOf(application)),
    namespace: application.metadata.namespace ?? '',
    targets,
    usesFacts: targets.some((target) => mayUseFacts(mergedRender(render, target.render))),
  };
}

/** Charts may ask for the version of the cluster; whether there is one only the files say. */
function mayUseFacts({ manifests, kustomize, helm }: RenderOptions): boolean {
  if (helm !== undefined || (manifests === undefined && kustomize === undefined)) return true;
  return manifests?.substitute === true || kustomize?.substitute === true;
}
