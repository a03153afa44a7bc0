import { rfc3339 } from '#base';
import { Application, Cluster, Project, readSource, Release, type Delivery, type LiveState, type Source } from '#api';
import type { Reader } from '#plane/engine';
import type { DeliveryFacts } from './facts.ts';

const MAX_RELEASES = 500;

/** Releases never change and may name a thousand clusters: what decide needs of each is kept, oldest out. */
export class ReleaseHeads {
  readonly #heads = new Map<string, Release>();

  async get(read: Reader, namespace: string, name: string, number: number): Promise<Release | undefined> {
    const key = `${namespace}/${name}`;
    const known = this.#heads.get(key);
    // A deleted and re-made Application may reuse a name with another commit; its old heads age out, and times are all they give.
    if (known !== undefined && known.spec.number === number) return known;
    const found = await read.get(Release, { namespace, name });
    if (found === undefined) return undefined;
    const head: Release = { ...found, spec: { ...found.spec, bundles: [] } };
    this.#heads.set(key, head);
    if (this.#heads.size > MAX_RELEASES) {
      const [oldest] = this.#heads.keys();
      if (oldest !== undefined) this.#heads.delete(oldest);
    }
    return head;
  }
}

export interface FactsOptions {
  readonly live: LiveState;
  readonly releases: ReleaseHeads;
  readonly frozen: () => boolean;
}

/** Reads everything that the verdicts on these Deliveries depend on; what several share is read once. */
export async function readFacts(
  read: Reader,
  deliveries: readonly Delivery[],
  nowMs: number,
  { live, releases, frozen }: FactsOptions,
): Promise<readonly DeliveryFacts[]> {
  const projects = once((name) => read.get(Project, { namespace: '', name }));
  const clusters = once((name) => read.get(Cluster, { namespace: '', name }));
  const applications = once((_key, namespace, name) => read.get(Application, { namespace, name }));
  const sources = new Map<string, Promise<Source | undefined>>();
  const sourceOf = (application: Application): Promise<Source | undefined> => {
    const key = `${application.metadata.namespace ?? ''}/${JSON.stringify(application.spec.source.sourceRef)}`;
    const found = sources.get(key) ?? readSource(read, application);
    sources.set(key, found);
    return found;
  };
  const now = rfc3339(nowMs);
  const facts: DeliveryFacts[] = [];
  for (const delivery of deliveries) {
    const namespace = delivery.metadata.namespace ?? '';
    const { application: name, cluster, wanted } = delivery.spec;
    const application = await applications(`${namespace}/${name}`, namespace, name);
    const lane = live.lane(cluster);
    facts.push({
      delivery,
      release: wanted === undefined ? undefined : await releases.get(read, namespace, wanted.release, wanted.number),
      application,
      source: application === undefined ? undefined : await sourceOf(application),
      project: await projects(namespace),
      cluster: await clusters(cluster),
      contact: live.contact(cluster),
      lane,
      report: lane?.reports.get(`${namespace}/${name}`),
      signedAt: wanted === undefined ? undefined : live.signedAt(cluster, namespace, name, wanted.release),
      frozen: frozen(),
      now,
    });
  }
  return facts;
}

function once<T>(get: (key: string, ...rest: string[]) => Promise<T>): (key: string, ...rest: string[]) => Promise<T> {
  const known = new Map<string, Promise<T>>();
  return (key, ...rest) => {
    const found = known.get(key) ?? get(key, ...rest);
    known.set(key, found);
    return found;
  };
}
