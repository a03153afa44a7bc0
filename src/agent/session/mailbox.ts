import type { Clock, Rng } from '#base';
import type { Command, Signal } from '../core/messages.ts';
import type { AgentState } from '../core/model.ts';
import { nextWakeAt, reduce } from '../core/reduce.ts';

export interface MailboxOptions {
  readonly initial: AgentState;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Carries out a command; what comes of it is posted. Must not throw. */
  readonly execute: (command: Command, state: AgentState) => void;
  readonly onChange: (state: AgentState) => void;
  readonly signal: AbortSignal;
}

/** A signal without its stamp. */
export type Post = Signal extends infer S ? (S extends Signal ? Omit<S, 'at' | 'random'> : never) : never;

const MAX_TIMER_MS = 3_600_000;

/** The one place where the state lives: signals come in, one at a time; commands go out. Wakes itself when time alone matters. */
export class Mailbox {
  readonly #options: MailboxOptions;
  readonly #queue: Post[] = [];
  #state: AgentState;
  #isRunning = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: MailboxOptions) {
    this.#options = options;
    this.#state = options.initial;
    options.signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  get state(): AgentState {
    return this.#state;
  }

  post(signal: Post): void {
    if (this.#options.signal.aborted) return;
    this.#queue.push(signal);
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const stamped = { ...next, at: this.#options.clock.now(), random: this.#options.rng() } as Signal; // a Post with its stamp
        const { state, commands } = reduce(this.#state, stamped);
        this.#state = state;
        for (const command of commands) this.#options.execute(command, state);
      }
    } finally {
      this.#isRunning = false;
    }
    this.#options.onChange(this.#state);
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const at = nextWakeAt(this.#state);
    if (at === undefined) return;
    const waitMs = Math.min(Math.max(at - this.#options.clock.now(), 1), MAX_TIMER_MS);
    this.#timer = setTimeout(() => this.post({ type: 'tick' }), waitMs);
  }
}
