import { getIn, isRecord, parseId, resourcePath, type KubeMeta, type KubeObject, type ResourceMapping } from '#kube';
import { hasStatus } from '#kube';
import type { ObjectKey } from '../core/model.ts';
import type { ClusterPort } from './cluster-port.ts';

const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
/** From so many unknown objects of one kind and namespace on, a list is cheaper than asking for each. */
const LIST_FROM = 8;
const PAGE = 500;
const MAX_PAGES = 8;

/** Whether an object that no watch of ours knows exists: metadata with managedFields, or null. */
export type Contact = (mapping: ResourceMapping, key: ObjectKey, signal: AbortSignal) => Promise<KubeMeta | null>;

/** Answers for many objects of the same kind and namespace from one list of names. */
export function createContact(unknown: readonly { readonly key: ObjectKey }[], port: ClusterPort): Contact {
  const crowd = new Map<string, number>();
  for (const { key } of unknown) crowd.set(placeOf(key), (crowd.get(placeOf(key)) ?? 0) + 1);
  const lists = new Map<string, Promise<ReadonlySet<string> | undefined>>();
  return async (mapping, key, signal) => {
    const id = parseId(key);
    if ((crowd.get(placeOf(key)) ?? 0) >= LIST_FROM) {
      const place = placeOf(key);
      const list = lists.get(place) ?? listNames(mapping, id.namespace, port, signal);
      lists.set(place, list);
      const names = await list;
      if (names !== undefined && !names.has(id.name)) return null;
    }
    return getMetadata(mapping, key, port, signal);
  };
}

function placeOf(key: ObjectKey): string {
  return key.slice(0, key.lastIndexOf('/'));
}

/** Names of all objects of a kind in a namespace; undefined when there are too many of them, or they may not be listed. */
async function listNames(
  mapping: ResourceMapping,
  namespace: string,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<ReadonlySet<string> | undefined> {
  const names = new Set<string>();
  let next: string | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    try {
      const response = await port.client.request({
        method: 'GET',
        path: resourcePath(mapping, namespace),
        query: { limit: PAGE, continue: next },
        accept: METADATA_LIST,
        signal,
      });
      const list: unknown = JSON.parse(response.body.toString('utf8'));
      const items = getIn(list, 'items');
      for (const item of Array.isArray(items) ? (items as readonly unknown[]) : []) {
        const name = getIn(item, 'metadata', 'name');
        if (typeof name === 'string') names.add(name);
      }
      const token = getIn(list, 'metadata', 'continue');
      if (typeof token !== 'string' || token === '') return names;
      next = token;
    } catch (error) {
      if (hasStatus(error, 403, 410)) return undefined;
      throw error;
    }
  }
  return undefined;
}

export async function getMetadata(
  mapping: ResourceMapping,
  key: ObjectKey,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<KubeMeta | null> {
  const id = parseId(key);
  try {
    const response = await port.client.request({
      method: 'GET',
      path: resourcePath(mapping, id.namespace, id.name),
      accept: METADATA,
      signal,
    });
    const value: unknown = JSON.parse(response.body.toString('utf8'));
    return isRecord(value) ? (value as unknown as KubeObject).metadata : null; // an object of the API server has metadata
  } catch (error) {
    if (hasStatus(error, 404)) return null;
    throw error;
  }
}
