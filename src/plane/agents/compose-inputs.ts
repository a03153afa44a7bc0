import {
  Application,
  Cluster,
  RECONCILE_ANNOTATION,
  Delivery,
  Project,
  Release,
  type AgentIdentity,
  type DesiredState,
  type DesiredStateRow,
} from '#api';
import type { Reader } from '#plane/engine';
import type { ComposeInput } from './desired-state.ts';
import type { AgentKeys } from './context.ts';

const MAX_RELEASES = 500;

/**
 * Releases never change: each is read once and kept, oldest out. A deleted and re-made Application may reuse a name, so a
 * Release counts only with the number and bundle that are wanted (`composeContent` checks), and is read again otherwise.
 */
export class ReleaseCache {
  readonly #releases = new Map<string, Release>();

  async get(read: Reader, namespace: string, name: string, bundle: string | undefined): Promise<Release | undefined> {
    const key = `${namespace}/${name}`;
    const known = this.#releases.get(key);
    if (known !== undefined && (bundle === undefined || known.spec.bundles.some((one) => one.digest === bundle))) return known;
    const found = await read.get(Release, { namespace, name });
    if (found === undefined) return undefined;
    this.#releases.delete(key);
    this.#releases.set(key, found);
    if (this.#releases.size > MAX_RELEASES) {
      const [oldest] = this.#releases.keys();
      if (oldest !== undefined) this.#releases.delete(oldest);
    }
    return found;
  }
}

/** Every Delivery to a cluster. */
export async function deliveriesTo(read: Reader, cluster: string): Promise<readonly Delivery[]> {
  const found: Delivery[] = [];
  let after: { namespace: string; name: string } | undefined;
  do {
    const page = await read.list(Delivery, {
      fields: [{ path: 'spec.cluster', operator: '=', value: cluster }],
      ...(after === undefined ? {} : { after }),
    });
    found.push(...page.items);
    after = page.next;
  } while (after !== undefined);
  return found;
}

/** Reads what `composeContent` needs for one cluster; the Deliveries may be given as they will be. */
export async function readComposeInput(
  read: Reader,
  releases: ReleaseCache,
  given: {
    readonly keys: Pick<AgentKeys, 'planeId' | 'keySet'>;
    readonly cluster: Cluster;
    readonly identity: AgentIdentity;
    readonly deliveries: readonly Delivery[];
    readonly previous: readonly DesiredState[];
  },
): Promise<ComposeInput> {
  const { cluster, deliveries, keys } = given;
  const found = new Map<string, Release>();
  const projects = new Map<string, Project>();
  const nudges = new Map<string, string>();
  for (const delivery of deliveries) {
    const namespace = delivery.metadata.namespace ?? '';
    const { wanted } = delivery.spec;
    const applied = delivery.spec.retire === undefined ? undefined : delivery.status?.applied;
    for (const [name, bundle] of [[wanted?.release, wanted?.bundle] as const, [applied?.release, applied?.bundle] as const]) {
      if (name === undefined || found.has(`${namespace}/${name}`)) continue;
      const release = await releases.get(read, namespace, name, bundle);
      if (release !== undefined) found.set(`${namespace}/${name}`, release);
    }
    const application = await read.get(Application, { namespace, name: delivery.spec.application });
    const nudge = [cluster, application, delivery]
      .map((one) => one?.metadata.annotations?.[RECONCILE_ANNOTATION])
      .filter((value) => value !== undefined)
      .join(' ');
    if (nudge !== '') nudges.set(`${namespace}/${delivery.spec.application}`, nudge.slice(0, 1024));
    if (!projects.has(namespace)) {
      const project = await read.get(Project, { namespace: '', name: namespace });
      if (project !== undefined) projects.set(namespace, project);
    }
  }
  return {
    planeId: keys.planeId,
    keySetVersion: keys.keySet.version,
    cluster,
    kubeSystemUid: given.identity.spec.kubeSystemUid,
    deliveries,
    releases: found,
    projects,
    nudges,
    previous: given.previous,
  };
}

/** The document in a row that this plane wrote itself: its signature was made by us, from these bytes. */
export function documentOf(row: Pick<DesiredStateRow, 'spec'>): DesiredState {
  return JSON.parse(Buffer.from(row.spec.envelope.payload, 'base64').toString('utf8')) as DesiredState;
}

export function clusterKey(name: string): { namespace: string; name: string } {
  return { namespace: '', name };
}

/** The revision an object was read at, for the preconditions of a commit. */
export function revisionOf(object: { readonly metadata: { readonly resourceVersion?: string } }): number {
  return Number(object.metadata.resourceVersion);
}
