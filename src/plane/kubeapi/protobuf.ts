/**
 * Reads the protobuf request bodies that kubectl's typed clients send for four kinds (they accept a JSON reply, but send
 * nothing else): `k8s\0`, then runtime.Unknown{1: TypeMeta{1 apiVersion, 2 kind}, 2: raw}. Field numbers from the
 * generated.proto files of k8s.io/api.
 */
import { failure } from './status-error.ts';
import { scalarText, withKey, type Json, type JsonObject } from './json.ts';

const MAGIC = Buffer.from('k8s\0');

interface Field {
  readonly name: string;
  readonly type: 'string' | 'bool' | 'int' | Message;
  readonly repeated?: boolean;
}
interface Message {
  readonly fields: Readonly<Record<number, Field>>;
  /** Message that stands for a map: key 1, value 2. */
  readonly isMap?: boolean;
}

const text = (name: string): Field => ({ name, type: 'string' });
const texts = (name: string): Field => ({ name, type: 'string', repeated: true });
const MAP: Message = { isMap: true, fields: { 1: text('key'), 2: text('value') } };
const OBJECT_META: Message = {
  fields: {
    1: text('name'),
    2: text('generateName'),
    3: text('namespace'),
    5: text('uid'),
    6: text('resourceVersion'),
    11: { name: 'labels', type: MAP, repeated: true },
    12: { name: 'annotations', type: MAP, repeated: true },
    14: texts('finalizers'),
  },
};
const RESOURCE_ATTRIBUTES: Message = {
  fields: {
    1: text('namespace'),
    2: text('verb'),
    3: text('group'),
    4: text('version'),
    5: text('resource'),
    6: text('subresource'),
    7: text('name'),
  },
};
const metadata: Field = { name: 'metadata', type: OBJECT_META };

const KINDS: Readonly<Record<string, Message>> = {
  'v1/Namespace': { fields: { 1: metadata, 2: { name: 'spec', type: { fields: { 1: texts('finalizers') } } } } },
  'authorization.k8s.io/v1/SelfSubjectAccessReview': {
    fields: {
      1: metadata,
      2: {
        name: 'spec',
        type: {
          fields: {
            1: { name: 'resourceAttributes', type: RESOURCE_ATTRIBUTES },
            2: { name: 'nonResourceAttributes', type: { fields: { 1: text('path'), 2: text('verb') } } },
          },
        },
      },
    },
  },
  'authorization.k8s.io/v1/SelfSubjectRulesReview': {
    fields: { 1: metadata, 2: { name: 'spec', type: { fields: { 1: text('namespace') } } } },
  },
  'authentication.k8s.io/v1/SelfSubjectReview': { fields: { 1: metadata } },
};

/** The object of a body in `application/vnd.kubernetes.protobuf`. Throws 400 for what it cannot read, 415 for other kinds. */
export function decodeProtobuf(body: Buffer): JsonObject {
  if (!body.subarray(0, 4).equals(MAGIC)) throw failure.badRequest('the body does not begin as Kubernetes protobuf does');
  const unknown = read(body.subarray(4), {
    fields: {
      1: { name: 'typeMeta', type: { fields: { 1: text('apiVersion'), 2: text('kind') } } },
      2: { name: 'raw', type: RAW },
    },
  });
  const typeMeta = (unknown['typeMeta'] ?? {}) as JsonObject;
  const apiVersion = typeof typeMeta['apiVersion'] === 'string' ? typeMeta['apiVersion'] : '';
  const kind = typeof typeMeta['kind'] === 'string' ? typeMeta['kind'] : '';
  const message = KINDS[`${apiVersion}/${kind}`];
  if (message === undefined) throw failure.unsupportedMediaType(['application/json', 'application/yaml']);
  const raw = typeof unknown['raw'] === 'string' ? Buffer.from(unknown['raw'], 'base64') : Buffer.alloc(0);
  return { apiVersion, kind, ...read(raw, message) };
}

/** Marks the bytes that are a message of their own: kept as base64. */
const RAW: Message = { fields: {} };

function read(bytes: Buffer, message: Message): JsonObject {
  const out: Record<string, Json> = {};
  let at = 0;
  const broken = (): never => {
    throw failure.badRequest('the protobuf body is broken');
  };
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 64; shift += 7) {
      const byte = bytes[at++] ?? broken();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return broken();
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = message.fields[Math.floor(tag / 8)];
    const wire = tag % 8;
    if (wire === 0) {
      const value = varint();
      if (field?.type === 'bool') out[field.name] = value !== 0;
      else if (field?.type === 'int') out[field.name] = value;
    } else if (wire === 2) {
      const length = varint();
      if (length > bytes.length - at) broken();
      const part = bytes.subarray(at, at + length);
      at += length;
      if (field !== undefined) set(out, field, part);
    } else if (wire === 1 || wire === 5) at += wire === 1 ? 8 : 4;
    else broken();
  }
  return out;
}

function set(out: Record<string, Json>, field: Field, bytes: Buffer): void {
  if (typeof field.type === 'object') {
    if (field.type === RAW) out[field.name] = bytes.toString('base64');
    else if (field.type.isMap === true) {
      const entry = read(bytes, field.type);
      const map = (out[field.name] ?? {}) as JsonObject;
      out[field.name] = withKey(map, scalarText(entry['key']), scalarText(entry['value']));
    } else out[field.name] = read(bytes, field.type);
    return;
  }
  const value = bytes.toString('utf8');
  out[field.name] = field.repeated === true ? [...((out[field.name] ?? []) as string[]), value] : value;
}
