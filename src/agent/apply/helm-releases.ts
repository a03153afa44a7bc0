import { gunzipSync } from 'node:zlib';
import { FairleadError, messageOf } from '#base';
import {
  capBytes,
  formatId,
  getIn,
  hasStatus,
  isRecord,
  parseApiVersion,
  parseYamlAll,
  redactMessage,
  resourcePath,
  type KubeMeta,
  type ResourceMapping,
} from '#kube';
import type { WoundUp } from '../core/messages.ts';
import type { ObjectKey } from '../core/model.ts';
import { actingAs, type ClusterPort } from './cluster-port.ts';
import { FIELD_MANAGER } from './marks.ts';

export interface HelmJob {
  /** Everything the application holds, by key. */
  readonly keys: ReadonlySet<ObjectKey>;
  readonly namespaces: readonly string[];
  readonly serviceAccount: string | undefined;
}

/** Labels of Helm's storage drivers (pkg/storage/driver): releases are found by them, never by their names alone. */
const OWNER = 'owner';
const NAME = 'name';
const VERSION = 'version';
/** On a record that Helm no longer finds: what its owner was. Put back as `owner`, Helm finds it again. */
export const FORMER_OWNER_LABEL = 'fairlead.dev/former-owner';
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
const MAX_RECORD_BYTES = 64 * 1024 * 1024;

interface StoredRelease {
  readonly name: string;
  readonly namespace: string;
  readonly storage: ResourceMapping;
  /** Names of its records, the newest first. */
  readonly records: readonly string[];
  readonly isPending: boolean;
}

/**
 * Winds up the Helm releases whose objects this application holds, all of them: their records lose the label by which Helm
 * finds them, so that a later `helm uninstall` knows no such release and deletes nothing. A release of which something is
 * not held stays as it is, and is named. Releases that share nothing with the application are not looked at further.
 */
export async function windUpHelmReleases(job: HelmJob, port: ClusterPort, signal: AbortSignal): Promise<WoundUp[]> {
  const done: WoundUp[] = [];
  for (const release of await findReleases(job, port, signal)) {
    const title = `${release.namespace}/${release.name}`;
    const objects = await objectsOf(release, job, port, signal).catch((error: unknown) => {
      port.log.debug({ release: title, error: messageOf(error) }, 'the record of a Helm release cannot be read');
      return [];
    });
    const missing = objects.filter((key) => !job.keys.has(key));
    if (missing.length === objects.length) continue;
    const [first] = missing;
    if (first !== undefined) done.push({ release: title, left: { count: missing.length, object: first } });
    else if (release.isPending) done.push({ release: title, words: 'Helm is in the middle of an operation on it' });
    else done.push(await disown(release, job, port, signal));
  }
  return done;
}

async function findReleases(job: HelmJob, port: ClusterPort, signal: AbortSignal): Promise<StoredRelease[]> {
  const found: StoredRelease[] = [];
  for (const kind of ['Secret', 'ConfigMap']) {
    const storage = await port.mapper.mapping({ group: '', version: 'v1', kind });
    for (const namespace of job.namespaces) {
      const byName = new Map<string, KubeMeta[]>();
      for (const metadata of await listRecords(storage, namespace, job, port, signal)) {
        const name = metadata.labels?.[NAME] ?? '';
        if (name !== '') byName.set(name, [...(byName.get(name) ?? []), metadata]);
      }
      for (const [name, all] of byName) {
        all.sort((a, b) => Number(b.labels?.[VERSION]) - Number(a.labels?.[VERSION]));
        const isPending = all.some((one) => one.labels?.['status']?.startsWith('pending-') === true);
        found.push({ name, namespace, storage, records: all.map((one) => one.name), isPending });
      }
    }
  }
  return found;
}

async function listRecords(
  storage: ResourceMapping,
  namespace: string,
  { serviceAccount }: HelmJob,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<KubeMeta[]> {
  const impersonate = actingAs(serviceAccount);
  try {
    const response = await port.client.request({
      method: 'GET',
      path: resourcePath(storage, namespace),
      query: { labelSelector: `${OWNER}=helm`, limit: 500 },
      accept: METADATA_LIST,
      signal,
      ...(impersonate === undefined ? {} : { impersonate }),
    });
    const items = getIn(JSON.parse(response.body.toString('utf8')), 'items');
    return (Array.isArray(items) ? (items as readonly unknown[]) : []).flatMap((item) => {
      const metadata = getIn(item, 'metadata');
      return isRecord(metadata) ? [metadata as unknown as KubeMeta] : []; // as every item of a list has it
    });
  } catch (error) {
    // Whoever may not see them has not adopted anything of Helm's without a person's `adoption: Always`.
    if (hasStatus(error, 403, 404)) return [];
    throw error;
  }
}

/** What `helm uninstall` would delete: the objects of the newest revision, but for those that ask to be kept. */
async function objectsOf(
  release: StoredRelease,
  { serviceAccount }: HelmJob,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<ObjectKey[]> {
  const [newest] = release.records;
  const impersonate = actingAs(serviceAccount);
  const response = await port.client.request({
    method: 'GET',
    path: resourcePath(release.storage, release.namespace, newest),
    signal,
    ...(impersonate === undefined ? {} : { impersonate }),
  });
  const data = getIn(JSON.parse(response.body.toString('utf8')), 'data', 'release');
  const text = typeof data === 'string' ? data : '';
  // A Secret's data is encoded once more.
  const packed = release.storage.kind === 'Secret' ? Buffer.from(text, 'base64').toString('latin1') : text;
  const record: unknown = JSON.parse(
    gunzipSync(Buffer.from(packed, 'base64'), { maxOutputLength: MAX_RECORD_BYTES }).toString('utf8'),
  );
  const manifest = getIn(record, 'manifest');
  const keys: ObjectKey[] = [];
  for (const object of parseYamlAll(typeof manifest === 'string' ? manifest : '')) {
    const [apiVersion, kind, name] = [getIn(object, 'apiVersion'), getIn(object, 'kind'), getIn(object, 'metadata', 'name')];
    if (typeof apiVersion !== 'string' || typeof kind !== 'string' || typeof name !== 'string') continue;
    if (getIn(object, 'metadata', 'annotations', 'helm.sh/resource-policy') === 'keep') continue;
    const { group, version } = parseApiVersion(apiVersion);
    const mapping = await port.mapper.mapping({ group, version, kind }).catch((error: unknown) => {
      if (error instanceof FairleadError && error.code === 'FL_KUBE_NO_KIND') return undefined;
      throw error;
    });
    const own = getIn(object, 'metadata', 'namespace');
    const namespace = mapping?.namespaced === false ? '' : typeof own === 'string' && own !== '' ? own : release.namespace;
    keys.push(formatId({ group, kind, namespace, name }));
  }
  return keys;
}

/** Takes the label away from every revision, the newest last: until then the release is as it was. */
async function disown(
  { name, namespace, storage, records }: StoredRelease,
  { serviceAccount }: HelmJob,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<WoundUp> {
  const release = `${namespace}/${name}`;
  const impersonate = actingAs(serviceAccount);
  try {
    for (const record of [...records].reverse()) {
      port.mayWrite();
      await port.client.request({
        method: 'PATCH',
        path: resourcePath(storage, namespace, record),
        contentType: 'application/merge-patch+json',
        body: JSON.stringify({ metadata: { labels: { [OWNER]: null, [FORMER_OWNER_LABEL]: 'helm' } } }),
        query: { fieldManager: FIELD_MANAGER },
        signal,
        ...(impersonate === undefined ? {} : { impersonate }),
      });
    }
  } catch (error) {
    if (!hasStatus(error, 403, 404, 422)) throw error;
    return { release, words: capBytes(redactMessage(messageOf(error)), 1024) };
  }
  return { release };
}
