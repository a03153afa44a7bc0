import { isDeepStrictEqual } from 'node:util';
import {
  AgentIdentity,
  ApiList,
  apiListKey,
  Application,
  Cluster,
  formatKey,
  keyOf,
  RECONCILE_ANNOTATION,
  REFRESH_ANNOTATION,
  selects,
  type ObjectMeta,
  type Project,
  type RenderOptions,
} from '#api';
import { FairleadError } from '#base';
import { wakeOn, type ObjectChange, type Reader, type Wake } from '#plane/engine';
import { Shadow } from './shadow.ts';
import { mergedRender } from './targets.ts';

/** Of a Cluster, all that decides what is delivered to it. */
export interface FleetCluster {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
  /** API versions and kinds that it serves; clusters that serve the same share one array. Undefined: not reported yet. */
  readonly apis: readonly string[] | undefined;
  readonly isSuspended: boolean;
  readonly isDeleting: boolean;
  /** The sealing key of its agent (`age1…`); undefined until one has joined. */
  readonly sealingKey: string | undefined;
}

type ClusterView = Omit<FleetCluster, 'sealingKey' | 'apis'> & { readonly apisDigest: string | undefined };

/** Of an Application, what decides which clusters concern it. */
interface ApplicationView {
  readonly key: string;
  readonly namespace: string;
  readonly targets: NonNullable<Application['spec']['targets']>;
  readonly usesFacts: boolean;
  readonly mayBeChart: boolean;
  /** Names of the sources of its spec.source.files. */
  readonly fileSources: readonly string[];
}

/** All clusters and the targets of all Applications: who concerns whom. */
export class Fleet {
  readonly #clusters = new Shadow(Cluster, viewOfCluster);
  readonly #identities = new Shadow(AgentIdentity, viewOfIdentity);
  readonly #applications = new Shadow(Application, viewOfApplication);
  /** By digest: they never change. */
  #lists: ReadonlyMap<string, readonly string[]> = new Map();
  #sorted: { readonly version: number; readonly clusters: readonly FleetCluster[] } | undefined;

  /** By name. */
  async clusters(read: Reader): Promise<readonly FleetCluster[]> {
    await this.#clusters.load(read);
    await this.#identities.load(read);
    const version = this.#clusters.version + this.#identities.version;
    if (this.#sorted?.version !== version) {
      await this.#loadLists(read);
      const clusters = [...this.#clusters.values()].map(({ apisDigest, ...view }) => ({
        ...view,
        apis: apisDigest === undefined ? undefined : this.#lists.get(apisDigest),
        sealingKey: this.#identities.get(view.name)?.sealingKey,
      }));
      this.#sorted = { version, clusters: clusters.sort((a, b) => (a.name < b.name ? -1 : 1)) };
    }
    return this.#sorted.clusters;
  }

  /**
   * Throws when a list that a Cluster refers to is not there, rather than to render as if nothing were served. It is
   * written in the same commit, and asked for again when the agent reports.
   */
  async #loadLists(read: Reader): Promise<void> {
    const lists = new Map<string, readonly string[]>();
    for (const { name, apisDigest } of this.#clusters.values()) {
      if (apisDigest === undefined || lists.has(apisDigest)) continue;
      const list = this.#lists.get(apisDigest) ?? (await read.get(ApiList, apiListKey(apisDigest)))?.spec.versions;
      if (list === undefined)
        throw new FairleadError(
          'FL_CLUSTER_APIS',
          `what cluster ${name} serves is not in the store; its agent will report it again`,
          {
            kind: 'unavailable',
            retryAfterMs: 5_000,
          },
        );
      lists.set(apisDigest, list);
    }
    this.#lists = lists;
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
        return this.#concerned(read, [before, after], newsIn(before, after));
      }),
      wakeOn(AgentIdentity, async (change, read) => {
        this.#identities.take(change);
        const { type, before, after } = change;
        if (type === 'modified' && before !== undefined && isDeepStrictEqual(viewOfIdentity(before), viewOfIdentity(after)))
          return [];
        await this.#clusters.load(read);
        return this.#concerned(read, [this.#clusters.get(change.after.metadata.name)], 'any');
      }),
    ];
  }

  /** Applications of a project. */
  async applicationsOf(read: Reader, project: Project): Promise<string[]> {
    await this.#applications.load(read);
    return [...this.#applications.values()].filter(({ namespace }) => namespace === project.metadata.name).map(({ key }) => key);
  }

  /** Applications that have files of a GitRepository beside those of their own source. */
  async withFilesOf(read: Reader, { metadata }: { readonly metadata: ObjectMeta }): Promise<string[]> {
    await this.#applications.load(read);
    return [...this.#applications.values()]
      .filter(({ namespace, fileSources }) => namespace === metadata.namespace && fileSources.includes(metadata.name))
      .map(({ key }) => key);
  }

  async #concerned(read: Reader, images: readonly (ClusterView | undefined)[], news: News): Promise<string[]> {
    await this.#applications.load(read);
    const keys: string[] = [];
    for (const application of this.#applications.values()) {
      if ((news === 'facts' && !application.usesFacts) || (news === 'apis' && !application.mayBeChart)) continue;
      const isConcerned = images.some(
        (image) => image !== undefined && application.targets.some((t) => selects(t.clusterSelector, image.labels)),
      );
      if (isConcerned) keys.push(application.key);
    }
    return keys;
  }
}

/** What is new of a Cluster: nothing but what it serves, nothing but facts (and what it serves), or more. */
type News = 'apis' | 'facts' | 'any';

function newsIn(before: ClusterView | undefined, after: ClusterView | undefined): News {
  if (before === undefined || after === undefined) return 'any';
  const withoutApis = { ...before, apisDigest: after.apisDigest };
  if (isDeepStrictEqual(withoutApis, after)) return 'apis';
  return isDeepStrictEqual({ ...withoutApis, facts: after.facts }, after) ? 'facts' : 'any';
}

/** Whether more than the status of an Application changed. */
function isOwnNews({ type, before, after }: ObjectChange<Application['spec'], Application['status']>): boolean {
  return (
    type !== 'modified' ||
    before === undefined ||
    before.metadata.generation !== after.metadata.generation ||
    before.metadata.deletionTimestamp !== after.metadata.deletionTimestamp ||
    // A person says: look again.
    [RECONCILE_ANNOTATION, REFRESH_ANNOTATION].some(
      (name) => before.metadata.annotations?.[name] !== after.metadata.annotations?.[name],
    ) ||
    !isDeepStrictEqual(before.metadata.finalizers, after.metadata.finalizers)
  );
}

function viewOfCluster(cluster: Cluster): ClusterView {
  return {
    name: cluster.metadata.name,
    labels: cluster.metadata.labels ?? {},
    facts: cluster.status?.facts ?? {},
    apisDigest: cluster.status?.apis?.digest,
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
    mayBeChart: targets.some((target) => mayBeChart(mergedRender(render, target.render))),
    fileSources: (application.spec.source.files ?? []).map(({ sourceRef }) => sourceRef.name),
  };
}

/** Charts may ask for the version of the cluster; whether there is one only the files say. */
function mayUseFacts(render: RenderOptions): boolean {
  return mayBeChart(render) || render.manifests?.substitute === true || render.kustomize?.substitute === true;
}

function mayBeChart({ manifests, kustomize, helm }: RenderOptions): boolean {
  return helm !== undefined || (manifests === undefined && kustomize === undefined);
}
