import { messageOf } from '#base';
import { RendererChild, type ChildOptions, type ChildOutcome } from './child.ts';
import { FairQueue } from './fair-queue.ts';
import type { ChildRequest } from './protocol.ts';

export interface PoolOptions extends ChildOptions {
  /** Children that may work at the same time. */
  readonly size: number;
}

export interface Job {
  readonly project: string;
  readonly request: Omit<ChildRequest, 'id'>;
  readonly files: readonly Uint8Array[];
  readonly signal: AbortSignal;
}

export type JobOutcome =
  | ChildOutcome
  | { readonly ended: 'busy' | 'stopped' }
  | { readonly ended: 'no-child'; readonly message: string };

interface Waiting extends Job {
  /** `queuedMs`: from being handed in until a child had it. */
  readonly resolve: (outcome: JobOutcome, queuedMs: number) => void;
  readonly since: number;
}

/**
 * The renderer children: at most `size` at work, each for one project, and one that is warm and has served nobody, so
 * that changing projects costs no start. Projects take turns. Children are replaced after so many renders, after a
 * failure, and end when they have had nothing to do for a while.
 */
export class Pool {
  readonly #options: PoolOptions;
  readonly #queue: FairQueue<Waiting>;
  readonly #busy = new Set<RendererChild>();
  /** Children between two renders, and what ends their idling. */
  readonly #idle = new Map<RendererChild, AbortController>();
  #spare: RendererChild | undefined;
  #isStopped = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#queue = new FairQueue(options.limits.queued);
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** Process ids of all children, for tests and metrics. */
  get pids(): number[] {
    const children = [...this.#busy, ...this.#idle.keys(), ...(this.#spare === undefined ? [] : [this.#spare])];
    return children.flatMap((child) => (child.pid === undefined || !child.isAlive ? [] : [child.pid]));
  }

  run(job: Job): Promise<{ readonly outcome: JobOutcome; readonly queuedMs: number }> {
    return new Promise((resolve) => {
      const settled = new AbortController();
      const waiting: Waiting = {
        ...job,
        since: this.#options.clock.monotonic(),
        resolve: (outcome, queuedMs) => {
          settled.abort();
          resolve({ outcome, queuedMs });
        },
      };
      if (this.#isStopped) return waiting.resolve({ ended: 'stopped' }, 0);
      if (job.signal.aborted) return waiting.resolve({ ended: 'cancelled' }, 0);
      if (!this.#queue.push(job.project, waiting)) return waiting.resolve({ ended: 'busy' }, 0);
      const onAbort = (): void => {
        if (this.#queue.remove(job.project, waiting)) waiting.resolve({ ended: 'cancelled' }, this.#waitedFor(waiting));
      };
      job.signal.addEventListener('abort', onAbort, { once: true, signal: settled.signal });
      this.#dispatch();
    });
  }

  /** Kills all children; what runs or waits ends as `stopped` or `exit`. */
  stop(): void {
    this.#isStopped = true;
    for (const waiting of this.#queue.drain()) waiting.resolve({ ended: 'stopped' }, this.#waitedFor(waiting));
    for (const child of this.#busy) child.kill();
    for (const child of this.#idle.keys()) this.#retire(child);
    this.#spare?.kill();
    this.#spare = undefined;
  }

  #waitedFor(waiting: Waiting): number {
    return this.#options.clock.monotonic() - waiting.since;
  }

  #dispatch(): void {
    for (;;) {
      const next = this.#choose();
      if (next === undefined) return;
      const waiting = this.#queue.take(next.project);
      if (waiting === undefined) return;
      void this.#work(next.child, waiting);
    }
  }

  /** Who is next and on which child: a project that has a child keeps it for a few renders, then turns are taken. */
  #choose(): { readonly child: RendererChild; readonly project: string } | undefined {
    const { limits, size } = this.#options;
    for (const child of this.#idle.keys()) {
      const { project } = child;
      if (
        project !== undefined &&
        this.#queue.has(project) &&
        (child.turn < limits.rendersPerTurn || !this.#othersWait(project))
      ) {
        return { child, project };
      }
    }
    for (const project of this.#queue.owners()) {
      const own = [...this.#idle.keys()].find((child) => child.project === project);
      if (own !== undefined) {
        own.turn = 0;
        return { child: own, project };
      }
      if (this.#busy.size + this.#idle.size >= size) {
        const victim = this.#idle.keys().next().value;
        if (victim === undefined) return undefined;
        this.#retire(victim);
      }
      const child = this.#spare?.isAlive ? this.#spare : new RendererChild(this.#options);
      this.#spare = undefined;
      child.project = project;
      return { child, project };
    }
    return undefined;
  }

  #othersWait(project: string): boolean {
    for (const owner of this.#queue.owners()) if (owner !== project) return true;
    return false;
  }

  async #work(child: RendererChild, waiting: Waiting): Promise<void> {
    this.#idle.get(child)?.abort();
    this.#idle.delete(child);
    this.#busy.add(child);
    let outcome: JobOutcome;
    let queuedMs = 0;
    try {
      await child.ready;
      queuedMs = this.#waitedFor(waiting);
      outcome = await child.run(waiting.request, waiting.files, waiting.signal);
    } catch (error) {
      outcome = { ended: 'no-child', message: messageOf(error) };
      this.#options.log.error({ error }, 'a renderer child did not start');
    }
    this.#busy.delete(child);
    if (this.#isStopped) {
      child.kill();
      waiting.resolve(outcome.ended === 'answer' ? outcome : { ended: 'stopped' }, queuedMs);
      return;
    }
    const isWornOut = child.renders >= this.#options.limits.rendersPerChild;
    const hasFailed = outcome.ended !== 'answer' || (outcome.answer.kind === 'died' && outcome.answer.ended !== 'depth');
    const rssBytes = outcome.ended === 'answer' && outcome.answer.kind !== 'ready' ? outcome.answer.rssBytes : 0;
    if (!child.isAlive || isWornOut || hasFailed || rssBytes > this.#options.limits.childBytes) child.kill();
    else this.#rest(child);
    if (outcome.ended !== 'no-child') this.#warm();
    waiting.resolve(outcome, queuedMs);
    this.#dispatch();
  }

  /** Puts a child among the idle, to end there unless it gets work in time. */
  #rest(child: RendererChild): void {
    const wait = new AbortController();
    this.#idle.set(child, wait);
    this.#options.clock.sleep(this.#options.limits.idleMs, wait.signal).then(
      () => this.#retire(child),
      () => undefined,
    );
  }

  #retire(child: RendererChild): void {
    this.#idle.get(child)?.abort();
    this.#idle.delete(child);
    child.kill();
    if (this.#busy.size + this.#idle.size === 0 && this.#queue.size === 0) {
      this.#spare?.kill();
      this.#spare = undefined;
    }
  }

  #warm(): void {
    if (this.#isStopped || this.#spare?.isAlive) return;
    this.#spare = new RendererChild(this.#options);
  }
}
