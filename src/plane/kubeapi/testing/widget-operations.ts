import type { Rng } from '#base';
import type { Json, JsonObject } from '../json.ts';

/** One request about one widget, made of random parts. `NAME` and the namespace are filled in by the runner. */
export interface Operation {
  readonly method: 'PATCH' | 'PUT' | 'POST';
  /** '' or '/status'. */
  readonly below: string;
  readonly query: string;
  readonly contentType: string;
  /** For PUT: laid over what is there. */
  readonly body: Json;
}

const MANAGERS = ['alpha', 'beta', 'gamma', 'kubectl'];

export function randomOperation(rng: Rng, isFirst: boolean): Operation {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(rng() * items.length)] as T;
  const manager = pick(MANAGERS);
  const roll = rng();
  if (isFirst ? roll < 0.6 : roll < 0.5) {
    const force = rng() < 0.35 ? '&force=true' : '';
    return {
      method: 'PATCH',
      below: '',
      query: `fieldManager=${manager}${force}`,
      contentType: 'application/apply-patch+yaml',
      body: { ...head(), metadata: randomMetadata(rng), spec: randomSpec(rng) },
    };
  }
  if (isFirst) {
    return {
      method: 'POST',
      below: '',
      query: `fieldManager=${manager}`,
      contentType: 'application/json',
      body: { ...head(), metadata: randomMetadata(rng), spec: randomSpec(rng), status: randomStatus(rng) },
    };
  }
  if (roll < 0.58) {
    return {
      method: 'PATCH',
      below: '/status',
      query: `fieldManager=${manager}${rng() < 0.5 ? '&force=true' : ''}`,
      contentType: 'application/apply-patch+yaml',
      body: { ...head(), metadata: {}, status: randomStatus(rng) },
    };
  }
  if (roll < 0.75) {
    return {
      method: 'PATCH',
      below: rng() < 0.2 ? '/status' : '',
      query: `fieldManager=${manager}`,
      contentType: 'application/merge-patch+json',
      body: {
        metadata: rng() < 0.3 ? randomMetadata(rng) : {},
        spec: withNulls(rng, randomSpec(rng)),
        status: randomStatus(rng),
      },
    };
  }
  if (roll < 0.85) {
    return {
      method: 'PATCH',
      below: '',
      query: `fieldManager=${manager}`,
      contentType: 'application/json-patch+json',
      body: randomJsonPatch(rng),
    };
  }
  return {
    method: 'PUT',
    below: rng() < 0.25 ? '/status' : '',
    query: `fieldManager=${manager}`,
    contentType: 'application/json',
    body: { spec: randomSpec(rng), status: randomStatus(rng) },
  };
}

function head(): JsonObject {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'Widget' };
}

function some<T>(rng: Rng, chance: number, make: () => T): T | undefined {
  return rng() < chance ? make() : undefined;
}

function clean(object: Readonly<Record<string, Json | undefined>>): JsonObject {
  return Object.fromEntries<Json | undefined>(Object.entries(object).filter(([, value]) => value !== undefined));
}

function word(rng: Rng): string {
  return ['x', 'y', 'z', 'a<b'][Math.floor(rng() * 4)] ?? 'x';
}

function words(rng: Rng): string[] {
  return ['p', 'q', 'r', 's'].filter(() => rng() < 0.45).sort(() => rng() - 0.5);
}

function mapOf(rng: Rng): JsonObject {
  return clean({
    k1: some(rng, 0.5, () => word(rng)),
    k2: some(rng, 0.5, () => word(rng)),
    'dotted.key/x': some(rng, 0.2, () => word(rng)),
  });
}

function randomMetadata(rng: Rng): JsonObject {
  return clean({
    labels: some(rng, 0.3, () => mapOf(() => rng() * 0.7)),
    annotations: some(rng, 0.2, () => mapOf(rng)),
    finalizers: some(rng, 0.15, () => ['example.com/a', 'example.com/b'].filter(() => rng() < 0.6)),
    ownerReferences: some(rng, 0.12, () => [
      // Of a kind that the garbage collector of a real cluster does not know: it would delete what has no owner.
      { apiVersion: 'example.com/v1', kind: 'Thing', name: word(rng).slice(0, 1), uid: rng() < 0.5 ? 'u1' : 'u2' },
    ]),
  });
}

export function randomSpec(rng: Rng): JsonObject {
  return clean({
    text: some(rng, 0.4, () => word(rng)),
    number: some(rng, 0.3, () => Math.floor(rng() * 3)),
    flag: some(rng, 0.25, () => rng() < 0.5),
    nested: some(rng, 0.4, () =>
      clean({
        a: some(rng, 0.5, () => word(rng)),
        b: some(rng, 0.4, () => word(rng)),
        inner: some(rng, 0.4, () => clean({ c: some(rng, 0.6, () => word(rng)) })),
      }),
    ),
    free: some(rng, 0.35, () => mapOf(rng)),
    whole: some(rng, 0.3, () => mapOf(rng)),
    atomic: some(rng, 0.3, () => words(rng)),
    set: some(rng, 0.4, () => words(rng)),
    keyed: some(rng, 0.45, () =>
      ['i', 'j', 'k']
        .filter(() => rng() < 0.5)
        .sort(() => rng() - 0.5)
        .map((name) =>
          clean({
            name,
            port: some(rng, 0.3, () => (rng() < 0.5 ? 80 : 81)),
            value: some(rng, 0.5, () => word(rng)),
            tags: some(rng, 0.3, () => words(rng)),
            parts: some(rng, 0.3, () =>
              ['1', '2'].filter(() => rng() < 0.6).map((id) => clean({ id, v: some(rng, 0.6, () => word(rng)) })),
            ),
          }),
        ),
    ),
    anything: some(rng, 0.25, () =>
      clean({ deep: some(rng, 0.5, () => ({ a: [1, { b: word(rng) }], c: word(rng) })), flat: some(rng, 0.5, () => word(rng)) }),
    ),
  });
}

function randomStatus(rng: Rng): JsonObject {
  return clean({
    phase: some(rng, 0.5, () => word(rng)),
    conditions: some(rng, 0.5, () =>
      ['Ready', 'Stalled'].filter(() => rng() < 0.6).map((type) => clean({ type, status: some(rng, 0.7, () => word(rng)) })),
    ),
  });
}

function withNulls(rng: Rng, object: JsonObject): JsonObject {
  const out: Record<string, Json> = {};
  for (const key of ['text', 'number', 'flag', 'nested', 'free', 'whole', 'atomic', 'set', 'keyed', 'anything']) {
    const value = object[key];
    if (value !== undefined) out[key] = value;
    else if (rng() < 0.12) out[key] = null;
  }
  return out;
}

function randomJsonPatch(rng: Rng): Json {
  const paths = [
    '/spec/text',
    '/spec/nested',
    '/spec/nested/a',
    '/spec/set/-',
    '/spec/keyed/0/value',
    '/spec/free',
    '/metadata/labels',
    '/spec/atomic/0',
  ];
  return Array.from({ length: 1 + Math.floor(rng() * 2) }, () => {
    const path = paths[Math.floor(rng() * paths.length)] ?? '/spec/text';
    const op = ['add', 'replace', 'remove'][Math.floor(rng() * 3)] ?? 'add';
    const value: Json = path.endsWith('nested')
      ? { b: word(rng) }
      : path.endsWith('free') || path.endsWith('labels')
        ? { k1: 'x' }
        : word(rng);
    return op === 'remove' ? { op, path: path.replace('/-', '/0') } : { op, path, value };
  });
}
