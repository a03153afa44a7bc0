import { getIn, resourcePath, formatId, isRecord, type KubeMeta, type ResourceMapping } from '#kube';
import { mapLimited, messageOf } from '#base';
import type { ClusterPort } from '../apply/cluster-port.ts';
import { namesItself, OWNER_LABEL } from '../apply/marks.ts';
import type { Inventory, InventoryItem, ObjectKey } from '../core/model.ts';

const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
const MAX_PAGES = 40;

/** Every object of the cluster that carries an owner label and names itself, by owner: what a lost inventory is made of again. */
export async function findMarked(port: ClusterPort, signal: AbortSignal): Promise<ReadonlyMap<string, Inventory>> {
  const found = new Map<string, Map<ObjectKey, InventoryItem>>();
  const { resources } = await port.mapper.all();
  const kinds = new Map<string, ResourceMapping>();
  for (const mapping of resources) {
    if (!mapping.verbs.includes('list') || !mapping.verbs.includes('patch') || mapping.kind === 'Event') continue;
    if (!kinds.has(`${mapping.group}/${mapping.kind}`)) kinds.set(`${mapping.group}/${mapping.kind}`, mapping);
  }
  await mapLimited([...kinds.values()], 8, async (mapping) => {
    try {
      for await (const metadata of marked(mapping, port, signal)) {
        const key = formatId({
          group: mapping.group,
          kind: mapping.kind,
          namespace: metadata.namespace ?? '',
          name: metadata.name,
        });
        const owner = metadata.labels?.[OWNER_LABEL];
        if (owner === undefined || !namesItself(metadata, key)) continue;
        const inventory = found.get(owner) ?? new Map<ObjectKey, InventoryItem>();
        found.set(owner, inventory.set(key, { version: mapping.version }));
      }
    } catch (error) {
      if (signal.aborted) throw error;
      // What may not be listed was not applied by us either.
      port.log.debug({ kind: mapping.kind, error: messageOf(error) }, 'a kind cannot be searched for objects of earlier times');
    }
  });
  return found;
}

async function* marked(mapping: ResourceMapping, port: ClusterPort, signal: AbortSignal): AsyncGenerator<KubeMeta> {
  let next: string | undefined;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const response = await port.client.request({
      method: 'GET',
      path: resourcePath(mapping, undefined),
      query: { labelSelector: OWNER_LABEL, limit: 500, continue: next },
      accept: METADATA_LIST,
      signal,
    });
    const list: unknown = JSON.parse(response.body.toString('utf8'));
    const items = getIn(list, 'items');
    for (const item of Array.isArray(items) ? (items as readonly unknown[]) : []) {
      const metadata = getIn(item, 'metadata');
      if (isRecord(metadata)) yield metadata as unknown as KubeMeta; // as every item of a list has it
    }
    const token = getIn(list, 'metadata', 'continue');
    if (typeof token !== 'string' || token === '') return;
    next = token;
  }
}
