import { isDeepStrictEqual } from 'node:util';
import { fullJitter, jittered, type Clock, type Log, type Rng } from '#base';
import {
  Credential,
  formatKey,
  keyOf,
  parseKey,
  Project,
  reasonOf,
  RECONCILE_ANNOTATION,
  suspended,
  type Kind,
  type PlaneObject,
  type UntimedReason,
} from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult, type Wake } from '#plane/engine';
import type { Store } from '#plane/store';
import type { Decrypt } from './look.ts';
import type { SourceLimits } from './mirror.ts';
import { allOf } from './pages.ts';
import type { UrlPolicy } from './source-url.ts';

/** What following sources of any kind takes. */
export interface FollowOptions extends Partial<UrlPolicy> {
  readonly decrypt: Decrypt;
  readonly log: Log;
  readonly clock: Clock;
  readonly rng?: Rng;
  /** Where the time of the last look goes; it never touches an object's revision. */
  readonly pulse?: Store['pulse'];
  readonly limits?: Partial<SourceLimits>;
}

/** What the spec of a source of any kind has. */
interface SourceSpec {
  readonly credential?: { readonly name: string };
  readonly suspend?: boolean;
}

/**
 * One kind of source, and how to look at it. `Wanted` is one thing that is looked for, such as a reference; `Look` is what came
 * of a look.
 */
export interface SourceKind<S extends SourceSpec, T, Wanted, Look> {
  readonly kind: Kind<S, T>;
  /** Of the controller. */
  readonly name: string;
  /** Looks at the same time; they wait for servers far more than they work. */
  readonly concurrency: number;
  /** Wakes besides those by the source, its Credential and its Project: what changes the things that are wanted. */
  readonly wakes: readonly Wake[];
  /** Told once at start of everything there is. */
  begin?(all: readonly PlaneObject<S, T>[], read: Reader): Promise<void>;
  /** Told when another process may follow the sources from now on. */
  end?(): void;
  wanted(source: PlaneObject<S, T>, read: Reader): Promise<readonly Wanted[]>;
  /** What makes a look due when it changes, besides the spec, the Credential, the Project and a request. */
  causes(source: PlaneObject<S, T>, wanted: readonly Wanted[]): readonly unknown[];
  intervalMs(source: PlaneObject<S, T>): number;
  /** Never throws for what a source, its server or its owner can cause. `former`: the last look, where it is remembered. */
  look(source: PlaneObject<S, T>, wanted: readonly Wanted[], former: Look | undefined, context: ReconcileContext): Promise<Look>;
  /** In place of a look at a source that is not to be read. */
  notLooked(source: PlaneObject<S, T>, wanted: readonly Wanted[], reason: UntimedReason): Look;
  /** Why something was not found; none: all was. */
  reasonsOf(look: Look): readonly UntimedReason[];
  statusAfter(source: PlaneObject<S, T>, look: Look, nowMs: number): T;
  /** Told after a look, before its status is written. */
  tidy?(source: PlaneObject<S, T>, wanted: readonly Wanted[], look: Look, context: ReconcileContext): Promise<void>;
  /** Told when a source is gone: nothing that is kept for its uid is of use. */
  forget?(uid: string): Promise<void>;
}

/** The sources of one kind, followed: each is looked at at intervals, on request, and when something about it changed. */
export interface FollowedSources {
  readonly controller: Controller;
  /** `namespace/name` of a source: looks at it now (or once more, when a look is under way). False if it is not followed here. */
  requestLook(key: string): boolean;
  /** The same by its uid. */
  requestLookOf(uid: string): void;
  /** Undefined: it has not been looked at yet. */
  nameOf(uid: string): string | undefined;
}

export function followSources<S extends SourceSpec, T, Wanted, Look>(
  sources: SourceKind<S, T, Wanted, Look>,
  options: Pick<FollowOptions, 'pulse' | 'rng'>,
): FollowedSources {
  return new Follower(sources, options);
}

/** What is remembered of a source between looks. Losing it costs one look. */
interface Memory<Look> {
  readonly uid: string;
  /** Everything that makes a look due when it changes. */
  readonly cause: string;
  readonly look: Look;
  readonly nextAtMs: number;
  readonly failures: number;
}

/** No source is looked at more often, ms. */
const leastWaitMs = 5_000;

class Follower<S extends SourceSpec, T, Wanted, Look> implements FollowedSources {
  readonly controller: Controller;
  readonly #sources: SourceKind<S, T, Wanted, Look>;
  readonly #options: Pick<FollowOptions, 'pulse' | 'rng'>;
  readonly #memory = new Map<string, Memory<Look>>();
  readonly #requested = new Set<string>();
  #wake: (key: string) => void = () => undefined;

  constructor(sources: SourceKind<S, T, Wanted, Look>, options: Pick<FollowOptions, 'pulse' | 'rng'>) {
    this.#sources = sources;
    this.#options = options;
    const { kind, name, concurrency } = sources;
    this.controller = {
      name,
      concurrency,
      wakes: [
        wakeOn(kind, ({ after }) => [formatKey(keyOf(after))]),
        ...sources.wakes,
        wakeOn(Credential, ({ after }, read) =>
          this.#keysIn(read, after.metadata.namespace ?? '', ({ spec }) => spec.credential?.name === after.metadata.name),
        ),
        wakeOn(Project, ({ before, after }, read) =>
          isDeepStrictEqual(before?.spec.sources, after.spec.sources) ? [] : this.#keysIn(read, after.metadata.name, () => true),
        ),
      ],
      initial: async (read) => {
        const all = await allOf(read, kind);
        await sources.begin?.(all, read);
        return all.map((source) => formatKey(keyOf(source)));
      },
      listen: (wake, signal) => {
        this.#wake = wake;
        const end = (): void => {
          this.#wake = () => undefined;
          // Another process may follow them from now on; should it be this one again, it looks anew.
          this.#memory.clear();
          sources.end?.();
        };
        signal.addEventListener('abort', end, { once: true });
      },
      reconcile: (key, context) => this.#reconcile(key, context),
    };
  }

  requestLook(key: string): boolean {
    if (!this.#memory.has(key)) return false;
    this.#requested.add(key);
    this.#wake(key);
    return true;
  }

  requestLookOf(uid: string): void {
    for (const [key, memory] of this.#memory) if (memory.uid === uid) this.requestLook(key);
  }

  nameOf(uid: string): string | undefined {
    for (const [key, memory] of this.#memory) if (memory.uid === uid) return parseKey(key).name;
    return undefined;
  }

  async #keysIn(read: Reader, namespace: string, wants: (source: PlaneObject<S, T>) => boolean): Promise<string[]> {
    const all = await allOf(read, this.#sources.kind, { namespace });
    return all.filter(wants).map((source) => formatKey(keyOf(source)));
  }

  async #reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult> {
    const { read, clock } = context;
    const source = await read.get(this.#sources.kind, parseKey(key));
    if (source === undefined || source.metadata.uid !== this.#memory.get(key)?.uid) await this.#forget(key);
    if (source === undefined || source.metadata.deletionTimestamp !== undefined) return {};
    const wanted = await this.#sources.wanted(source, read);
    if (source.spec.suspend === true) {
      this.#memory.delete(key);
      const { name, namespace } = source.metadata;
      const reason = reasonOf('FL_SOURCE_SUSPENDED', suspended(`${source.kind.toLowerCase()}/${name}`, namespace));
      return this.#write(source, this.#sources.notLooked(source, wanted, reason), clock.now());
    }
    const memory = this.#memory.get(key);
    const cause = await this.#causeOf(source, wanted, read);
    const isDue = memory === undefined || memory.cause !== cause || this.#requested.has(key) || clock.now() >= memory.nextAtMs;
    const next = isDue ? await this.#look(key, source, wanted, cause, context) : memory;
    const result = this.#write(source, next.look, clock.now());
    if (isDue) await this.#sources.tidy?.(source, wanted, next.look, context);
    return { ...result, againMs: Math.max(0, next.nextAtMs - clock.now()) };
  }

  async #look(
    key: string,
    source: PlaneObject<S, T>,
    wanted: readonly Wanted[],
    cause: string,
    context: ReconcileContext,
  ): Promise<Memory<Look>> {
    const { clock } = context;
    const { rng, pulse } = this.#options;
    const startedAt = clock.monotonic();
    const former = this.#memory.get(key);
    // Before the look: a request that comes meanwhile asks for another one.
    this.#requested.delete(key);
    const look = await this.#sources.look(source, wanted, former?.look, context);
    const reasons = this.#sources.reasonsOf(look);
    const intervalMs = this.#sources.intervalMs(source);
    const isUnreachable = reasons.some(({ code }) => code === 'FL_SOURCE_UNREACHABLE');
    const failures = isUnreachable ? (this.#memory.get(key)?.failures ?? 0) + 1 : 0;
    // A server that does not answer is tried sooner at first.
    const waitMs = isUnreachable
      ? fullJitter(failures, { baseMs: leastWaitMs, maxMs: intervalMs }, rng)
      : jittered(intervalMs, 0.1, rng);
    const nextAtMs = clock.now() + Math.max(leastWaitMs, waitMs);
    const memory: Memory<Look> = { uid: source.metadata.uid, cause, look, failures, nextAtMs };
    this.#memory.set(key, memory);
    pulse?.(this.#sources.kind, keyOf(source), {
      lookedAt: new Date(clock.now()).toISOString(),
      tookMs: Math.round(clock.monotonic() - startedAt),
      ok: reasons.length === 0,
    });
    return memory;
  }

  #write(source: PlaneObject<S, T>, look: Look, nowMs: number): ReconcileResult {
    const { kind } = this.#sources;
    const status = this.#sources.statusAfter(source, look, nowMs);
    if (isDeepStrictEqual(status, source.status)) return {};
    return {
      commit: {
        expect: [{ kind, key: keyOf(source), revision: Number(source.metadata.resourceVersion) }],
        write: [{ op: 'put', kind, object: { ...source, status } }],
      },
    };
  }

  async #causeOf(source: PlaneObject<S, T>, wanted: readonly Wanted[], read: Reader): Promise<string> {
    const { generation, annotations, namespace = '' } = source.metadata;
    const name = source.spec.credential?.name;
    const credential = name === undefined ? undefined : await read.get(Credential, { namespace, name });
    const project = await read.get(Project, { namespace: '', name: namespace });
    return JSON.stringify([
      generation,
      annotations?.[RECONCILE_ANNOTATION],
      this.#sources.causes(source, wanted),
      credential?.metadata.uid,
      credential?.metadata.generation,
      project?.spec.sources,
    ]);
  }

  async #forget(key: string): Promise<void> {
    const memory = this.#memory.get(key);
    this.#requested.delete(key);
    if (memory === undefined) return;
    this.#memory.delete(key);
    await this.#sources.forget?.(memory.uid);
  }
}
