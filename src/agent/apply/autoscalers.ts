import { FairleadError, messageOf } from '#base';
import { getIn, hasStatus, parseApiVersion, parseId, resourcePath, type KubeObject } from '#kube';
import type { ObjectKey } from '../core/model.ts';
import type { ClusterPort } from './cluster-port.ts';

/** Where workloads say how many they are; what a HorizontalPodAutoscaler writes through the subresource `scale`. */
export const REPLICAS = '/spec/replicas';

/** Whether a HorizontalPodAutoscaler (KEDA makes them, too) aims at this object. */
export type AutoscalerLookup = (key: ObjectKey, signal: AbortSignal) => Promise<boolean>;

/** Scaled to nothing an autoscaler rests, and says nothing about replicas: then Git's number counts. */
export function mayBeAutoscaled(live: KubeObject): boolean {
  return getIn(live, 'spec', 'replicas') !== 0;
}

const AUTOSCALER = { group: 'autoscaling', version: '', kind: 'HorizontalPodAutoscaler' };
const PAGE = 500;
const MAX_PAGES = 8;

/**
 * Lists the autoscalers of a namespace when first asked about an object in it, and remembers the answer: for one apply or
 * one look, not longer. They are not watched, because their status changes every few seconds. Where they may not be listed,
 * or the API server does not serve them, none counts as there.
 */
export function createAutoscalerLookup(port: Pick<ClusterPort, 'client' | 'mapper' | 'log'>): AutoscalerLookup {
  const byNamespace = new Map<string, Promise<ReadonlySet<string>>>();
  return async (key, signal) => {
    const { group, kind, namespace, name } = parseId(key);
    if (namespace === '') return false;
    const targets = byNamespace.get(namespace) ?? listTargets(namespace, port, signal);
    byNamespace.set(namespace, targets);
    return (await targets).has(`${group}/${kind}/${name}`);
  };
}

async function listTargets(
  namespace: string,
  port: Pick<ClusterPort, 'client' | 'mapper' | 'log'>,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const targets = new Set<string>();
  try {
    const mapping = await port.mapper.mapping(AUTOSCALER);
    let next: string | undefined;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const response = await port.client.request({
        method: 'GET',
        path: resourcePath(mapping, namespace),
        query: { limit: PAGE, continue: next },
        signal,
      });
      const list: unknown = JSON.parse(response.body.toString('utf8'));
      const items = getIn(list, 'items');
      for (const item of Array.isArray(items) ? (items as readonly unknown[]) : []) {
        const target = getIn(item, 'spec', 'scaleTargetRef');
        const apiVersion = getIn(target, 'apiVersion');
        const group = typeof apiVersion === 'string' ? parseApiVersion(apiVersion).group : '';
        targets.add(`${group}/${String(getIn(target, 'kind'))}/${String(getIn(target, 'name'))}`);
      }
      const token = getIn(list, 'metadata', 'continue');
      if (typeof token !== 'string' || token === '') break;
      next = token;
    }
  } catch (error) {
    const isNotServed = error instanceof FairleadError && error.code === 'FL_KUBE_NO_KIND';
    if (!isNotServed && !hasStatus(error, 403, 404)) throw error;
    port.log.debug({ namespace, error: messageOf(error) }, 'the autoscalers of a namespace cannot be listed');
  }
  return targets;
}
