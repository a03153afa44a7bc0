/** A watch of one namespace's ConfigMaps that says when each value was seen: what "applied" means in every benchmark. */
import { messageOf, silentLog } from '../src/base/index.ts';
import { createKubeClient, loadKubeconfig, type KubeClient } from '../src/kube/index.ts';
import type { ClusterHandle } from '../src/testbed/index.ts';

export interface ConfigMapSeen {
  readonly type: string;
  readonly name: string;
  readonly resourceVersion: string;
  readonly data: Readonly<Record<string, string>>;
  /** performance.now() */
  readonly at: number;
}

interface ConfigMap {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
  readonly data?: Readonly<Record<string, string>>;
}

interface ConfigMapList {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly ConfigMap[];
}

interface WatchLine {
  readonly type: string;
  readonly object: ConfigMap;
}

export class ConfigMapWatch implements Disposable {
  readonly client: KubeClient;
  /** Of each name the last event. */
  readonly latest = new Map<string, ConfigMapSeen>();
  #onEvent: (seen: ConfigMapSeen) => void = () => undefined;
  #revision = '';
  readonly #stop = new AbortController();

  private constructor(client: KubeClient) {
    this.client = client;
  }

  static async open(handle: ClusterHandle, namespace: string): Promise<ConfigMapWatch> {
    const client = createKubeClient({
      access: await loadKubeconfig(handle.kubeconfig),
      userAgent: 'fairlead-bench/0',
      maxSockets: 64,
      log: silentLog,
    });
    const watch = new ConfigMapWatch(client);
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const { body } = await client.request({ method: 'GET', path });
    const list = JSON.parse(body.toString('utf8')) as ConfigMapList; // written by the API server
    for (const object of list.items) watch.#keep('ADDED', object);
    watch.#revision = list.metadata.resourceVersion;
    await new Promise<void>((resolve) => void watch.#run(path, resolve));
    return watch;
  }

  /** Goes on from the last event when the API server ends the watch, as it does with watchers that fall behind. */
  async #run(path: string, onOpen: () => void): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.client.stream({
          path,
          query: { watch: true, resourceVersion: this.#revision },
          maxDurationMs: 3_600_000,
          signal: this.#stop.signal,
          onOpen,
          onLine: (line) => {
            const { type, object } = JSON.parse(line.toString('utf8')) as WatchLine; // written by the API server
            if (type === 'ERROR') throw new Error(line.toString('utf8'));
            this.#keep(type, object);
          },
        });
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        process.stderr.write(`bench: a watch of ${path} ended: ${messageOf(error)}\n`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  #keep(type: string, object: ConfigMap): void {
    const { name, resourceVersion } = object.metadata;
    const seen = { type, name, resourceVersion, data: object.data ?? {}, at: performance.now() };
    this.#revision = resourceVersion;
    this.latest.set(name, seen);
    this.#onEvent(seen);
  }

  /** Resolves with the first event that is so, from now on. */
  next(isIt: (seen: ConfigMapSeen) => boolean, timeoutMs = 60_000): Promise<ConfigMapSeen> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited ${timeoutMs} ms for a ConfigMap to change`)), timeoutMs);
      this.#onEvent = (seen) => {
        if (!isIt(seen)) return;
        clearTimeout(timer);
        this.#onEvent = () => undefined;
        resolve(seen);
      };
    });
  }

  /** When the first and the last of `count` different ConfigMaps were seen to be so, from now on. */
  async all(count: number, isIt: (seen: ConfigMapSeen) => boolean): Promise<{ readonly first: number; readonly last: number }> {
    const names = new Set<string>();
    let first = Number.POSITIVE_INFINITY;
    const { at } = await this.next((seen) => {
      if (!isIt(seen)) return false;
      first = Math.min(first, seen.at);
      names.add(seen.name);
      return names.size === count;
    }, 180_000);
    return { first, last: at };
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    this.client.close();
  }
}

/** Server-side apply of a ConfigMap, and nothing else. */
export async function applyBare(
  client: KubeClient,
  namespace: string,
  name: string,
  data: Readonly<Record<string, string>>,
): Promise<void> {
  await client.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${namespace}/configmaps/${name}`,
    query: { fieldManager: 'bench', force: true },
    contentType: 'application/apply-patch+yaml',
    body: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data }),
  });
}
