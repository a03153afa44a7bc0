import {
  Cluster,
  LOOK_CAPABILITY,
  lookLimits,
  type Look,
  type LookAnswer,
  type LookOutcome,
  type LookRequest,
  type LookTarget,
} from '#api';
import { FairleadError, randomToken, TokenBuckets, type Log } from '#base';
import type { Post } from '#plane/store';
import { clusterKey } from './compose-inputs.ts';
import type { AgentsContext } from './context.ts';
import type { LiveBook } from './live-book.ts';
import { readLook } from './read-look.ts';

/** How long a person waits for an agent. */
const DEADLINE_MS = 5_000;
/** An order that nothing came of is handed out again: the connection that took it may have been a dead one. */
const AGAIN_MS = 1_500;
/** What was seen so shortly ago is not asked for again: ten people who look at the same object are one look. */
const FRESH_MS = 500;
const REMEMBER_MS = 60_000;
/** An answer for other replicas stays this long; one whose poster died is taken away by whoever sees it after the second. */
const POSTED_MS = 10_000;
const ABANDONED_MS = 40_000;
/** Posts take some tens of ms; an answer that overtakes them waits this long, and so many at once: of one cluster, and of all (an answer is up to 1.5 MiB). */
const EARLY_MS = 1_000;
const MAX_EARLY_PER_CLUSTER = 4;
const MAX_EARLY = 64;
const MAX_PENDING = 500;
const MAX_PENDING_PER_CLUSTER = 16;
const MAX_PER_PERSON = 8;
const MAX_KEPT_CHARACTERS = 32 * 1024 * 1024;
/** Fewer than an agent may sync, and than it answers. */
const clusterBudget = { burst: 20, perSecond: 2 };
const personBudget = { burst: 40, perSecond: 4 };

interface Ask extends LookRequest {
  readonly atMs: number;
  /** By this process. */
  handedMs: number | undefined;
}

interface Entry {
  readonly cluster: string;
  ask: Ask | undefined;
  readonly waiters: Set<(outcome: LookOutcome) => void>;
  last: { readonly answer: LookAnswer; readonly atMs: number } | undefined;
}

interface AskPost extends LookRequest {
  readonly atMs: number;
}

interface AnswerPost {
  readonly target: LookTarget;
  readonly answer: LookAnswer;
  readonly atMs: number;
}

/**
 * Who wants to see which live object, and what agents have shown. In memory only, for a minute; replicas of the plane tell
 * each other by posts, which are taken away again: the page, the agent's poll and its answer may each be at another process.
 * Bounded by person, by cluster and in all; the same look of several people is one.
 */
export class LookBook {
  readonly #context: AgentsContext;
  readonly #live: LiveBook;
  readonly #wake: (cluster: string) => void;
  readonly #log: Log;
  readonly #entries = new Map<string, Entry>();
  /** Id of a look → key of its entry. */
  readonly #ids = new Map<string, string>();
  /** Answers that wait for their question, by id. */
  readonly #early = new Map<string, { readonly cluster: string; readonly resolve: () => void }>();
  readonly #people = new Map<string, number>();
  readonly #buckets = new TokenBuckets();
  /** Posts to be taken away, by `topic\0key`, and when. */
  readonly #posted = new Map<string, number>();

  constructor(context: AgentsContext, live: LiveBook, wake: (cluster: string) => void) {
    this.#context = context;
    this.#live = live;
    this.#wake = wake;
    this.#log = context.log;
  }

  /** Asks the agent and waits for what it says, five seconds at most. `by` is who asks: `admin/<name>`. */
  async look(cluster: string, target: LookTarget, by: string, signal: AbortSignal): Promise<Look> {
    const key = keyOf(cluster, target);
    const outcome = (await this.#whyNot(cluster)) ?? (await this.#ask(key, cluster, target, by, signal));
    const last = this.#entries.get(key)?.last;
    const isAnswer = outcome.is === 'answered' && outcome.answer.is !== 'refused';
    return { outcome, before: isAnswer ? undefined : last?.answer };
  }

  async #whyNot(cluster: string): Promise<LookOutcome | undefined> {
    if (this.#context.frozen()) return { is: 'frozen' };
    const agent = (await this.#context.store.get(Cluster, clusterKey(cluster)))?.status?.agent;
    if (agent === undefined || this.#live.contact(cluster).state === 'lost') return { is: 'lost' };
    if (agent.capability < LOOK_CAPABILITY) return { is: 'old', capability: agent.capability };
    return undefined;
  }

  async #ask(key: string, cluster: string, target: LookTarget, by: string, signal: AbortSignal): Promise<LookOutcome> {
    const nowMs = this.#context.clock.now();
    const entry = this.#entries.get(key) ?? { cluster, ask: undefined, waiters: new Set(), last: undefined };
    if (entry.last !== undefined && nowMs - entry.last.atMs < FRESH_MS) return { is: 'answered', answer: entry.last.answer };
    const mine = this.#people.get(by) ?? 0;
    if (mine >= MAX_PER_PERSON || this.#buckets.take(`by ${by}`, personBudget, nowMs) > 0) return { is: 'busy' };
    if (entry.ask === undefined) {
      const pending = [...this.#entries.values()].filter((one) => one.ask !== undefined);
      const isFull =
        pending.length >= MAX_PENDING || pending.filter((one) => one.cluster === cluster).length >= MAX_PENDING_PER_CLUSTER;
      if (isFull || this.#buckets.take(`of ${cluster}`, clusterBudget, nowMs) > 0) return { is: 'busy' };
      const ask: Ask = { ...target, id: randomToken(16), by: by.slice(0, 256), atMs: nowMs, handedMs: undefined };
      entry.ask = ask;
      this.#ids.set(ask.id, key);
      const { handedMs: _here, ...post } = ask;
      this.#post('look', `${cluster} ${ask.id}`, post satisfies AskPost, nowMs + DEADLINE_MS + POSTED_MS);
    }
    this.#entries.set(key, entry);
    this.#people.set(by, mine + 1);
    const { promise, resolve } = Promise.withResolvers<LookOutcome>();
    const over = (): void => resolve({ is: 'silent', waitedMs: DEADLINE_MS });
    const timer = setTimeout(over, DEADLINE_MS);
    signal.addEventListener('abort', over, { once: true });
    entry.waiters.add(resolve);
    this.#wake(cluster);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', over);
      entry.waiters.delete(resolve);
      // Nobody looks any more, and no agent was asked yet.
      if (entry.waiters.size === 0 && entry.ask?.handedMs === undefined) this.#drop(entry);
      const left = (this.#people.get(by) ?? 1) - 1;
      if (left === 0) this.#people.delete(by);
      else this.#people.set(by, left);
    }
  }

  /** What an agent that syncs now is asked to show; each is handed out once, and again after a while. */
  toHand(cluster: string): readonly LookRequest[] {
    if (this.#ids.size === 0) return [];
    const nowMs = this.#context.clock.now();
    const looks: LookRequest[] = [];
    for (const { cluster: of, ask } of this.#entries.values()) {
      if (of !== cluster || ask === undefined || looks.length >= lookLimits.maxPerOrder) continue;
      if (ask.handedMs !== undefined && nowMs - ask.handedMs < AGAIN_MS) continue;
      ask.handedMs = nowMs;
      const { id, project, application, object, by } = ask;
      looks.push({ id, project, application, object, by });
    }
    return looks;
  }

  /**
   * Takes an agent's answer; it may be here before the post of another replica that says what was asked. Errors: FL_LOOK_ID for a
   * look of nobody, FL_LOOK_ANSWER for an answer about something else.
   */
  async take(cluster: string, answer: LookAnswer): Promise<void> {
    if (!this.#ids.has(answer.id)) await this.#adopted(cluster, answer.id);
    const key = this.#ids.get(answer.id);
    const entry = key === undefined ? undefined : this.#entries.get(key);
    if (entry?.ask === undefined || key === undefined || entry.cluster !== cluster) {
      throw new FairleadError('FL_LOOK_ID', 'nobody asked for this look, or its time is up', { kind: 'not-found' });
    }
    const { project, application, object } = entry.ask;
    const target = { project, application, object };
    const read = readLook(target, answer);
    this.#settle(entry, read === undefined ? { is: 'wrong' } : { is: 'answered', answer: read });
    const nowMs = this.#context.clock.now();
    if (read !== undefined) {
      this.#post(
        'looked',
        `${cluster} ${answer.id}`,
        { target, answer: read, atMs: nowMs } satisfies AnswerPost,
        nowMs + POSTED_MS,
      );
      return;
    }
    this.#log.warn({ cluster, application, object: object.name }, 'an agent answered a look with another object');
    throw new FairleadError('FL_LOOK_ANSWER', 'the answer is not about the object that was asked for', { kind: 'invalid' });
  }

  /** Waits a moment for another replica to say what was asked under this id. */
  async #adopted(cluster: string, id: string): Promise<void> {
    if (this.#context.store.replicas === undefined || this.#early.size >= MAX_EARLY || this.#early.has(id)) return;
    const own = [...this.#early.values()].filter((one) => one.cluster === cluster);
    if (own.length >= MAX_EARLY_PER_CLUSTER) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, EARLY_MS);
    this.#early.set(id, { cluster, resolve });
    await promise;
    clearTimeout(timer);
    this.#early.delete(id);
  }

  /** Forgets what its time is up for. Costs nothing while nobody looks. */
  sweep(nowMs: number): void {
    for (const [key, entry] of this.#entries) {
      const { ask, last } = entry;
      if (ask !== undefined && nowMs - ask.atMs > DEADLINE_MS) this.#drop(entry);
      // Not answered yet: whoever polls gets it again.
      else if (ask !== undefined && ask.handedMs !== undefined && nowMs - ask.handedMs >= AGAIN_MS) this.#wake(entry.cluster);
      if (last !== undefined && nowMs - last.atMs > REMEMBER_MS) entry.last = undefined;
      if (entry.ask === undefined && entry.last === undefined && entry.waiters.size === 0) this.#entries.delete(key);
    }
    for (const [id, untilMs] of this.#posted) {
      if (nowMs < untilMs) continue;
      this.#posted.delete(id);
      const [topic = '', key = ''] = id.split('\0');
      this.#context.store.replicas?.post(topic, key, undefined);
    }
  }

  /** What another replica posted under `look` or `looked`. Errors: any, for what is no such post. */
  adopt({ topic, key, value }: Pick<Post, 'topic' | 'key' | 'value'>): void {
    const nowMs = this.#context.clock.now();
    const cluster = key.slice(0, key.indexOf(' '));
    if (value === undefined) {
      this.#posted.delete(`${topic}\0${key}`);
      return;
    }
    this.#posted.set(`${topic}\0${key}`, nowMs + ABANDONED_MS);
    // What this process's own methods post.
    if (topic === 'look') {
      const ask = JSON.parse(value) as AskPost;
      if (nowMs - ask.atMs > DEADLINE_MS) return;
      const entryKey = keyOf(cluster, ask);
      const entry = this.#entries.get(entryKey) ?? { cluster, ask: undefined, waiters: new Set(), last: undefined };
      this.#entries.set(entryKey, entry);
      this.#ids.set(ask.id, entryKey);
      entry.ask ??= { ...ask, handedMs: undefined };
      this.#early.get(ask.id)?.resolve();
      this.#wake(cluster);
      return;
    }
    const { target, answer, atMs } = JSON.parse(value) as AnswerPost;
    const entry = this.#entries.get(keyOf(cluster, target));
    if (entry !== undefined && nowMs - atMs < REMEMBER_MS) this.#settle(entry, { is: 'answered', answer });
  }

  #settle(entry: Entry, outcome: LookOutcome): void {
    this.#drop(entry);
    if (outcome.is === 'answered' && outcome.answer.is !== 'refused') {
      entry.last = { answer: outcome.answer, atMs: this.#context.clock.now() };
      this.#keepWithin();
    }
    for (const waiter of entry.waiters) waiter(outcome);
  }

  #drop(entry: Entry): void {
    if (entry.ask === undefined) return;
    const key = this.#ids.get(entry.ask.id);
    entry.ask = undefined;
    for (const [id, of] of this.#ids) if (of === key) this.#ids.delete(id);
  }

  /** The oldest answers go first. */
  #keepWithin(): void {
    const kept = [...this.#entries.values()].filter((entry) => entry.last !== undefined);
    kept.sort((a, b) => (b.last?.atMs ?? 0) - (a.last?.atMs ?? 0));
    let left = MAX_KEPT_CHARACTERS;
    for (const entry of kept) {
      left -= 4096 + (entry.last?.answer.manifest?.length ?? 0);
      if (left < 0) entry.last = undefined;
    }
  }

  #post(topic: string, key: string, value: unknown, untilMs: number): void {
    const { replicas } = this.#context.store;
    if (replicas === undefined) return;
    replicas.post(topic, key, JSON.stringify(value));
    this.#posted.set(`${topic}\0${key}`, untilMs);
  }
}

function keyOf(cluster: string, { project, application, object }: LookTarget): string {
  const { group, version, kind, namespace, name } = object;
  return [cluster, project, application, group, version, kind, namespace, name].join('\0');
}
