import { FairleadError } from '#base';
import { getIn, hasStatus, isRecord, type KubeClient } from '#kube';
import type { Medium } from './medium.ts';

export interface SecretMediumOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Name of the pointer Secret, and prefix of the segments'. */
  readonly name: string;
}

/** Marks every Secret of one state; its value is the name of the pointer. */
const STATE_LABEL = 'fairlead.dev/state';
const TYPE = 'fairlead.dev/agent-state';
// Kubernetes takes 1 MiB per Secret, base64 not counted, and etcd 1.5 MiB per request.
const MAX_SEGMENT_BYTES = 900_000;

/** State in Secrets of the agent's namespace: one pointer, checked by resourceVersion, and segments that are never changed. */
export function openSecretMedium(options: SecretMediumOptions): Promise<Medium> {
  const { client, namespace, name } = options;
  const base = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`;
  const segmentName = (id: string): string => `${name}-${id}`;
  let version: string | undefined;

  async function read(secret: string): Promise<{ readonly bytes: Buffer; readonly version: string } | undefined> {
    try {
      const response = await client.request({ method: 'GET', path: `${base}/${encodeURIComponent(secret)}` });
      const value: unknown = JSON.parse(response.body.toString('utf8'));
      const data = getIn(value, 'data', 'state');
      const resourceVersion = getIn(value, 'metadata', 'resourceVersion');
      return {
        bytes: Buffer.from(typeof data === 'string' ? data : '', 'base64'),
        version: typeof resourceVersion === 'string' ? resourceVersion : '',
      };
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  function secretOf(secret: string, bytes: Uint8Array, resourceVersion?: string): string {
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Secret',
      type: TYPE,
      metadata: {
        name: secret,
        namespace,
        labels: { [STATE_LABEL]: name },
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      data: { state: Buffer.from(bytes).toString('base64') },
    });
  }

  async function create(secret: string, bytes: Uint8Array): Promise<string> {
    const response = await client.request({
      method: 'POST',
      path: base,
      body: secretOf(secret, bytes),
      query: { fieldManager: 'fairlead-agent' },
    });
    const resourceVersion = getIn(JSON.parse(response.body.toString('utf8')), 'metadata', 'resourceVersion');
    return typeof resourceVersion === 'string' ? resourceVersion : '';
  }

  return Promise.resolve({
    title: `Secrets ${namespace}/${name}*`,
    writeGapMs: 1000,
    maxSegmentBytes: MAX_SEGMENT_BYTES,
    async readPointer() {
      const found = await read(name);
      version = found?.version;
      return found?.bytes;
    },
    async writePointer(bytes) {
      try {
        if (version === undefined) {
          version = await create(name, bytes);
          return;
        }
        const response = await client.request({
          method: 'PUT',
          path: `${base}/${encodeURIComponent(name)}`,
          body: secretOf(name, bytes, version),
          query: { fieldManager: 'fairlead-agent' },
        });
        const next = getIn(JSON.parse(response.body.toString('utf8')), 'metadata', 'resourceVersion');
        version = typeof next === 'string' ? next : '';
      } catch (error) {
        if (!hasStatus(error, 409, 404)) throw error;
        throw new FairleadError('FL_STATE_CONFLICT', `another process has written the state in Secrets ${namespace}/${name}*`, {
          kind: 'conflict',
          cause: error,
        });
      }
    },
    async writeSegment(id, bytes) {
      await create(segmentName(id), bytes);
    },
    async readSegment(id) {
      const found = await read(segmentName(id));
      if (found !== undefined) return found.bytes;
      throw new FairleadError(
        'FL_STATE_CORRUPT',
        `Secret ${namespace}/${segmentName(id)} is missing; delete the state and join again`,
        {
          kind: 'internal',
        },
      );
    },
    async removeSegment(id) {
      try {
        await client.request({ method: 'DELETE', path: `${base}/${encodeURIComponent(segmentName(id))}` });
      } catch (error) {
        if (!hasStatus(error, 404)) throw error;
      }
    },
    async listSegments() {
      const response = await client.request({
        method: 'GET',
        path: base,
        query: { labelSelector: `${STATE_LABEL}=${name}`, limit: 500 },
        accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json',
      });
      const items = getIn(JSON.parse(response.body.toString('utf8')), 'items');
      const names = (Array.isArray(items) ? (items as readonly unknown[]) : []).map((item) =>
        isRecord(item) ? getIn(item, 'metadata', 'name') : undefined,
      );
      return names.flatMap((one) => (typeof one === 'string' && one.startsWith(`${name}-`) ? [one.slice(name.length + 1)] : []));
    },
    close: () => Promise.resolve(),
  });
}
