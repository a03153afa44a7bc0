import { getIn, type KubeClient, type RestMapper } from '#kube';

/** UID of the namespace kube-system: what tells one cluster from another. */
export async function readKubeSystemUid(client: KubeClient, signal?: AbortSignal): Promise<string> {
  const response = await client.request({
    method: 'GET',
    path: '/api/v1/namespaces/kube-system',
    ...(signal === undefined ? {} : { signal }),
  });
  const uid = getIn(JSON.parse(response.body.toString('utf8')), 'metadata', 'uid');
  return typeof uid === 'string' ? uid : '';
}

/** What the plane may know of the cluster: cheap to ask, and usable in values. Facts that may not be read are left out. */
export async function readFacts(client: KubeClient, mapper: RestMapper): Promise<Record<string, string>> {
  const facts: Record<string, string> = {};
  facts['kubernetesVersion'] = (await mapper.capabilities()).gitVersion;
  try {
    const response = await client.request({
      method: 'GET',
      path: '/api/v1/nodes',
      query: { limit: 1 },
      accept: 'application/json',
    });
    const list: unknown = JSON.parse(response.body.toString('utf8'));
    const items = getIn(list, 'items');
    const remaining = getIn(list, 'metadata', 'remainingItemCount');
    const count = (Array.isArray(items) ? items.length : 0) + (typeof remaining === 'number' ? remaining : 0);
    facts['nodes'] = String(count);
    const first: unknown = Array.isArray(items) ? items[0] : undefined;
    const providerId = getIn(first, 'spec', 'providerID');
    const os = getIn(first, 'status', 'nodeInfo', 'operatingSystem');
    const architecture = getIn(first, 'status', 'nodeInfo', 'architecture');
    if (typeof providerId === 'string' && /^[a-z0-9-]{1,40}:\/\//.test(providerId))
      facts['provider'] = providerId.split(':')[0] ?? '';
    if (typeof os === 'string' && typeof architecture === 'string') facts['platform'] = `${os}/${architecture}`.slice(0, 100);
  } catch {
    // Not allowed: a namespaced agent sees no nodes.
  }
  return facts;
}
