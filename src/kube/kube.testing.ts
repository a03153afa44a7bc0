import { silentLog } from '#base';
import type { ClusterHandle } from '#testbed';
import { createKubeClient, type KubeClient } from './client.ts';
import { createRestMapper, type RestMapper } from './discovery.ts';
import { loadKubeconfig } from './kubeconfig.ts';

/** A client and a mapper for a cluster of the testbed; `using` closes the client. */
export interface ClusterUnderTest extends Disposable {
  readonly client: KubeClient;
  readonly mapper: RestMapper;
}

export async function connectTo(
  cluster: Pick<ClusterHandle, 'kubeconfig'>,
  userAgent = 'fairlead-test/0',
): Promise<ClusterUnderTest> {
  const client = createKubeClient({ access: await loadKubeconfig(cluster.kubeconfig), userAgent, log: silentLog });
  return {
    client,
    mapper: createRestMapper({ client, log: silentLog, minRefreshMs: 0 }),
    [Symbol.dispose]: () => client.close(),
  };
}

/** Canonical bytes of an object, as the renderer would hand them over. */
export function bytesOf(object: unknown): Buffer {
  return Buffer.from(JSON.stringify(object));
}
