import { silentLog, waitFor } from '#base';
import { createKubeClient, loadKubeconfig, Reflector, type ResourceMapping } from '#kube';

const configMaps: ResourceMapping = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  resource: 'configmaps',
  namespaced: true,
  verbs: ['list', 'watch'],
  hasStatus: false,
  hasScale: false,
  singular: 'configmap',
  shortNames: ['cm'],
  categories: [],
};

/**
 * Sees everything that happens to the ConfigMaps of one namespace, by a watch: what each one's `n` was, one value after the
 * other, and what was deleted. For claims such as "nothing ever went back", which no look at the end can prove.
 */
export class Witness implements AsyncDisposable {
  /** Values of `data.n` in the order in which they came, by name; the same value again is not repeated. */
  readonly seen = new Map<string, number[]>();
  readonly deleted: string[] = [];
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #close: () => void = () => undefined;

  static async of(kubeconfig: string, namespace: string): Promise<Witness> {
    const witness = new Witness();
    const client = createKubeClient({
      access: await loadKubeconfig(kubeconfig),
      userAgent: 'fairlead-witness/0',
      log: silentLog,
      maxSockets: 2,
    });
    const reflector = new Reflector<number>({
      client,
      mapping: configMaps,
      namespace,
      project: (object) => numberIn(object),
      onEvent(event) {
        const name = event.key.slice(event.key.indexOf('/') + 1);
        if (event.type === 'deleted') {
          witness.deleted.push(name);
          return;
        }
        const values = witness.seen.get(name) ?? [];
        if (values.at(-1) !== event.value) values.push(event.value);
        witness.seen.set(name, values);
      },
      log: silentLog,
    });
    witness.#running = reflector.run(witness.#stop.signal).catch(() => undefined);
    witness.#close = () => client.close();
    await waitFor(`the witness of ${namespace} to see it`, () => reflector.isSynced, { timeoutMs: 30_000 });
    return witness;
  }

  /** Names of objects whose `n` ever went down, with all it was. */
  wentBack(): readonly string[] {
    return [...this.seen]
      .filter(([, values]) => values.some((value, index) => value < (values[index - 1] ?? value)))
      .map(([name, values]) => `${name}: ${values.join(' ')}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#close();
  }
}

/** `data.n`, or undefined for ConfigMaps that have none: the cluster's own. */
function numberIn(object: unknown): number | undefined {
  if (typeof object !== 'object' || object === null || !('data' in object)) return undefined;
  const { data } = object;
  if (typeof data !== 'object' || data === null || !('n' in data)) return undefined;
  return Number(data.n);
}
