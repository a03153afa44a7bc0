import { createHmac, randomBytes } from 'node:crypto';
import { FairleadError } from '#base';
import { getIn, injectMetadata, isRecord, isSecretKind, type KubeObject, type MetadataInjection } from '#kube';
import type { PlannedObject } from '../core/model.ts';
import type { AgentKeys } from '../link/identity.ts';
import type { AgentStore } from '../state/agent-store.ts';
import { marksFor } from './marks.ts';

/**
 * The objects to apply, from the stored content: with our marks, in their namespace, and unsealed only for the moment of
 * the apply. For comparing, values of sealed Secrets are replaced by a keyed hash on both sides, so that they are nowhere
 * in memory in clear while nothing is applied.
 */
export class WantedObjects {
  readonly #store: AgentStore;
  readonly #keys: AgentKeys;
  /** Random per process: the hashes mean nothing to anybody else. */
  readonly #hashKey = randomBytes(32);
  readonly #veiled = new Map<string, KubeObject>();

  constructor(store: AgentStore, keys: AgentKeys) {
    this.#store = store;
    this.#keys = keys;
  }

  /** Exactly what is applied. Errors: `FL_CONTENT_MISSING`, `FL_AGENT_UNSEAL`, `FL_KUBE_BODY`. */
  async body(object: PlannedObject, owner: string): Promise<Buffer> {
    const bytes = this.#bytes(object);
    return this.#injected(object.isSealed ? await this.#keys.unseal(bytes) : bytes, object, owner);
  }

  /** The object with these marks instead of an owner's: hooks, and what is only made, are not held. */
  async bareBody(object: PlannedObject, marks: Pick<MetadataInjection, 'labels' | 'annotations'>): Promise<Buffer> {
    const bytes = this.#bytes(object);
    const clear = object.isSealed ? await this.#keys.unseal(bytes) : bytes;
    return injectMetadata(clear, { ...marks, ...(object.id.namespace === '' ? {} : { namespace: object.id.namespace }) });
  }

  /** Prepares a sealed object for `comparable`; others need no preparation. */
  async prepare(object: PlannedObject, owner: string): Promise<void> {
    if (!object.isSealed || this.#veiled.has(veilKey(object, owner))) return;
    const clear = JSON.parse((await this.body(object, owner)).toString('utf8')) as KubeObject; // canonical bytes of an object
    this.#veiled.set(veilKey(object, owner), this.veil(withEncodedData(clear)));
  }

  /** Drops what was prepared for any other object, or for another owner. */
  keepOnly(wanted: Iterable<{ readonly object: PlannedObject; readonly owner: string }>): void {
    if (this.#veiled.size === 0) return;
    const kept = new Set<string>();
    for (const { object, owner } of wanted) if (object.isSealed) kept.add(veilKey(object, owner));
    for (const key of this.#veiled.keys()) if (!kept.has(key)) this.#veiled.delete(key);
  }

  /** What to compare a live object with (give that through `veil`, too); undefined if it was not prepared or is not here. */
  comparable(object: PlannedObject, owner: string): KubeObject | Uint8Array | undefined {
    if (object.isSealed) return this.#veiled.get(veilKey(object, owner));
    const bytes = this.#store.object(object.digest);
    return bytes === undefined ? undefined : this.#injected(bytes, object, owner);
  }

  /** The object with every value of a Secret replaced by its hash; others as they are. */
  veil(object: KubeObject): KubeObject {
    if (!isSecretKind({ group: object.apiVersion.includes('/') ? 'other' : '', kind: object.kind })) return object;
    const data = object['data'];
    if (!isRecord(data)) return object;
    const hashed = Object.entries(data).map(([key, value]) => [
      key,
      createHmac('sha256', this.#hashKey)
        .update(`${key}\n${String(value)}`)
        .digest('base64url'),
    ]);
    return { ...object, data: Object.fromEntries(hashed) as Record<string, string> };
  }

  /** The object as it was rendered, for what only needs a look at it. Not for sealed ones. */
  peek(object: Pick<PlannedObject, 'digest' | 'isSealed'>): KubeObject | undefined {
    const bytes = object.isSealed ? undefined : this.#store.object(object.digest);
    return bytes === undefined ? undefined : (JSON.parse(bytes.toString('utf8')) as KubeObject); // canonical bytes of an object
  }

  #bytes(object: PlannedObject): Buffer {
    const bytes = this.#store.object(object.digest);
    if (bytes !== undefined) return bytes;
    throw new FairleadError('FL_CONTENT_MISSING', `the content of ${object.key} is not here any more; it is fetched again`, {
      kind: 'unavailable',
    });
  }

  #injected(bytes: Uint8Array, object: PlannedObject, owner: string): Buffer {
    return injectMetadata(bytes, {
      ...marksFor(owner, object.key),
      ...(object.id.namespace === '' ? {} : { namespace: object.id.namespace }),
    });
  }
}

function veilKey(object: PlannedObject, owner: string): string {
  return `${owner} ${object.key} ${object.digest}`;
}

/** `stringData` is write-only: what is compared is what the API server makes of it. */
function withEncodedData(object: KubeObject): KubeObject {
  const text = getIn(object, 'stringData');
  if (!isRecord(text)) return object;
  const { stringData: _gone, ...rest } = object;
  const encoded = Object.entries(text).map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')]);
  const data = getIn(object, 'data');
  return { ...rest, data: { ...(isRecord(data) ? data : {}), ...Object.fromEntries(encoded) } };
}
