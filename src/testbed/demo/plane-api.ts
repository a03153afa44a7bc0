import { API_VERSION, Cluster, type FleetView, type Kind } from '#api';
import { silentLog } from '#base';
import { createKubeClient, loadKubeconfig, type KubeClient } from '#kube';

/** What the demo says to the plane, as any client would: through its API, with the administrator's kubeconfig. */
export class PlaneApi {
  readonly #client: KubeClient;

  private constructor(client: KubeClient) {
    this.#client = client;
  }

  static async connect(kubeconfig: string): Promise<PlaneApi> {
    return new PlaneApi(
      createKubeClient({
        access: await loadKubeconfig(kubeconfig),
        userAgent: 'fairlead-demo/0.1.0',
        log: silentLog,
        maxSockets: 4,
      }),
    );
  }

  async isReady(): Promise<boolean> {
    await this.#client.request({ method: 'GET', path: '/readyz', timeoutMs: 2000 });
    return true;
  }

  /** Server-side apply. */
  async apply(
    kind: Kind,
    namespace: string,
    name: string,
    spec: unknown,
    metadata: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    const scoped = kind.scope === 'Cluster' ? {} : { namespace };
    await this.#client.request({
      method: 'PATCH',
      path: pathOf(kind, namespace, name),
      query: { fieldManager: 'fairlead-demo', force: true },
      contentType: 'application/apply-patch+yaml',
      body: JSON.stringify({ apiVersion: API_VERSION, kind: kind.kind, metadata: { name, ...scoped, ...metadata }, spec }),
    });
  }

  async hasCluster(name: string): Promise<boolean> {
    await this.#client.request({ method: 'GET', path: pathOf(Cluster, '', name) });
    return true;
  }

  async joinToken(cluster: string): Promise<string> {
    const response = await this.#client.request({ method: 'POST', path: `${pathOf(Cluster, '', cluster)}/enroll`, body: '{}' });
    const { token } = JSON.parse(response.body.toString('utf8')) as { token: string };
    return token;
  }

  async annotate(kind: Kind, namespace: string, name: string, annotations: Readonly<Record<string, string>>): Promise<void> {
    await this.#client.request({
      method: 'PATCH',
      path: pathOf(kind, namespace, name),
      contentType: 'application/merge-patch+json',
      body: JSON.stringify({ metadata: { annotations } }),
    });
  }

  async fleet(): Promise<FleetView> {
    const response = await this.#client.request({ method: 'GET', path: '/views/v1/fleet' });
    return JSON.parse(response.body.toString('utf8')) as FleetView;
  }

  close(): void {
    this.#client.close();
  }
}

function pathOf(kind: Kind, namespace: string, name: string): string {
  const scope = kind.scope === 'Cluster' ? '' : `/namespaces/${namespace}`;
  return `/apis/${API_VERSION}${scope}/${kind.plural}/${name}`;
}
