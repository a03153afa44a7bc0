import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '#base';
import { reasonOf, say, suspended, type Application, type RenderRow, type UntimedReason } from '#api';
import { describeReference, referenceKey, type ResolvedReference } from './remote-references.ts';

type TreeRow = RenderRow['spec']['trees'][number];
type Floating = NonNullable<TreeRow['floating']>;
export type Notices = NonNullable<NonNullable<Application['status']>['notices']>;

/** What is said of them; more would be no reading. */
const mostNotices = 20;

/**
 * What an Application's references to elsewhere stand for: resolved once, and then the same whatever options, renderer or
 * commit it is rendered with, until a person asks for a refresh. All groups of one render share it.
 */
export class Pins {
  readonly #digests: Map<string, string>;
  readonly #floating: Map<string, Floating[string]>;
  readonly #asked = new Set<string>();
  readonly #isRefresh: boolean;
  /** Which refresh they are after: what could not be rendered before it may be now. */
  readonly refresh: string;

  /** `trees`: as they were rendered before, after the refresh `done`; `asked` is the newest that somebody asked for. */
  constructor(trees: readonly TreeRow[], asked: string | undefined, done: string | undefined) {
    this.#digests = new Map(trees.flatMap(({ pins }) => Object.entries(pins ?? {})));
    this.#floating = new Map(trees.flatMap(({ floating }) => Object.entries(floating ?? {})));
    this.#isRefresh = asked !== undefined && asked !== done;
    this.refresh = asked ?? '';
  }

  get digests(): ReadonlyMap<string, string> {
    return this.#digests;
  }

  /** Whether it is to be asked for again although it is known. */
  isDue(key: string): boolean {
    return this.#isRefresh && !this.#asked.has(key);
  }

  /** Whether anything that a tree was rendered with has to be asked for again. */
  concerns({ pins }: TreeRow): boolean {
    return Object.keys(pins ?? {}).some((key) => this.isDue(key));
  }

  keep(resolved: readonly ResolvedReference[], nowMs: number): void {
    for (const { reference, digest, found } of resolved) {
      const key = referenceKey(reference);
      const isSame = this.#digests.get(key) === digest;
      this.#asked.add(key);
      this.#digests.set(key, digest);
      // Not asked for: it is what it was.
      if (found === undefined) continue;
      if (!found.floats) this.#floating.delete(key);
      else {
        const former = isSame ? this.#floating.get(key) : undefined;
        this.#floating.set(key, former ?? { what: describeReference(reference), found: found.as, at: rfc3339(nowMs) });
      }
    }
  }

  /** For a row: of these references, what they stand for. */
  rowOf(resolved: readonly ResolvedReference[]): Pick<TreeRow, 'pins' | 'floating'> {
    const keys = resolved.map(({ reference }) => referenceKey(reference));
    const pins = keys.flatMap((key) => pairOf(key, this.#digests.get(key)));
    const floating = keys.flatMap((key) => pairOf(key, this.#floating.get(key)));
    return {
      ...(pins.length === 0 ? {} : { pins: Object.fromEntries(pins) }),
      ...(floating.length === 0 ? {} : { floating: Object.fromEntries(floating) }),
    };
  }
}

function pairOf<V>(key: string, value: V | undefined): readonly (readonly [string, V])[] {
  return value === undefined ? [] : [[key, value]];
}

/** What is worth knowing about what was rendered, each once. Those known before keep their time. Pure. */
export function noticesOf(
  trees: readonly TreeRow[],
  { metadata }: Application,
  former: Notices | undefined,
  nowMs: number,
): Notices {
  const { target } = suspended(`application/${metadata.name}`, metadata.namespace);
  const found = new Map<string, { readonly reason: UntimedReason; readonly since: string }>();
  for (const { floating, staleLocks } of trees) {
    for (const file of staleLocks ?? []) add(reasonOf('FL_RENDER_LOCK_STALE', { file }), rfc3339(nowMs));
    for (const { what, found: version, at } of Object.values(floating ?? {}))
      add(reasonOf('FL_RENDER_NOT_LOCKED', { what, version, at, target }), at);
  }
  return [...found.values()].slice(0, mostNotices).map(({ reason: { code, args }, since }) => {
    const before = former?.find((one) => one.code === code && isDeepStrictEqual(one.args, args));
    return before ?? { code, args: { ...args }, since };
  });

  function add(reason: UntimedReason, since: string): void {
    found.set(say(reason), { reason, since });
  }
}
