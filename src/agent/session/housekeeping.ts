import type { Clock, Log } from '#base';
import type { WantedObjects } from '../apply/wanted-objects.ts';
import type { AgentState } from '../core/model.ts';
import { isCorrecting } from '../core/reduce.ts';
import type { AgentStore } from '../state/agent-store.ts';

export interface HousekeepingOptions {
  readonly store: AgentStore;
  readonly wantedObjects: Pick<WantedObjects, 'keepOnly'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly fail: (error: unknown) => void;
  /** Events have become durable. */
  readonly onDurable: () => void;
}

/** What the plane has taken is forgotten without hurry: taken twice, it counts once. */
const FORGET_DELAY_MS = 3000;
/** Events that happen together become durable together. */
const GROUP_MS = 20;
const CLEANUP_DELAY_MS = 60_000;

/**
 * Writes what no step of an application waits for: events as soon as the medium likes, and with them that the corrections
 * they tell of are done; later what was taken, and the removal of content nobody needs any more.
 */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  #latest: AgentState | undefined;
  #wroteAt = Number.NEGATIVE_INFINITY;
  #isSaving = false;
  #isForgetting = false;
  #cleaned: string | undefined;
  #isCleaning = false;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  follow(state: AgentState): void {
    const { store, clock } = this.#options;
    this.#latest = state;
    if (!this.#isSaving && state.outbox.some((event) => !store.isDurable(event.id))) {
      this.#isSaving = true;
      const waitMs = Math.max(GROUP_MS, this.#wroteAt + store.writeGapMs - clock.monotonic());
      void this.#after(waitMs, async () => {
        await this.flush(this.#latest ?? state).finally(() => (this.#isSaving = false));
        // What came meanwhile.
        this.follow(this.#latest ?? state);
      });
    }
    if (!this.#isForgetting && this.#isForgettable(state)) {
      this.#isForgetting = true;
      void this.#after(FORGET_DELAY_MS, async () => {
        this.#isForgetting = false;
        await this.flush(this.#latest ?? state);
      });
    }
    if (!this.#isCleaning && state.position !== undefined && this.#cleaned !== state.position.digest) {
      this.#isCleaning = true;
      void this.#after(CLEANUP_DELAY_MS, async () => {
        this.#isCleaning = false;
        await this.#clean(this.#latest ?? state);
      });
    }
  }

  async flush(state: AgentState): Promise<void> {
    const { store, clock, onDurable } = this.#options;
    this.#wroteAt = clock.monotonic();
    await store.setOutbox({ events: state.outbox, gap: state.gap }, pendingEvents(state), this.#corrected(state));
    onDurable();
  }

  #isForgettable(state: AgentState): boolean {
    const { store } = this.#options;
    return (
      store.gap() !== state.gap ||
      store.eventCount > state.outbox.length + pendingEvents(state).size ||
      this.#corrected(state).length > 0
    );
  }

  #corrected(state: AgentState): string[] {
    return [...this.#options.store.correcting()].filter((app) => !isCorrecting(state, app));
  }

  /** While a release is on its way its predecessor's content is kept. */
  async #clean(state: AgentState): Promise<void> {
    const { store, wantedObjects, log } = this.#options;
    const isCalm = [...state.apps.values()].every(
      (app) => app.wanted === undefined || (!app.isStale && (app.step.at === 'steady' || app.step.at === 'settling')),
    );
    if (!isCalm) return;
    wantedObjects.keepOnly(
      [...state.apps.values()].flatMap(({ owner, objects, standing }) =>
        [...objects.values(), ...(standing?.objects.values() ?? [])].map(({ object }) => ({ object, owner })),
      ),
    );
    const needed = new Set((state.document?.applications ?? []).map((one) => one.bundle));
    const dropped = await store.dropContentBut(needed);
    this.#cleaned = state.position?.digest;
    if (dropped > 0) log.debug({ dropped }, 'dropped content that no application needs any more');
  }

  async #after(ms: number, act: () => Promise<void>): Promise<void> {
    const { clock, signal, fail } = this.#options;
    try {
      await clock.sleep(ms, signal);
    } catch {
      return;
    }
    await act().catch(fail);
  }
}

/** Events that become part of the outbox with a write that is under way. */
function pendingEvents(state: AgentState): Set<string> {
  return new Set([...state.apps.values()].flatMap((app) => app.pendingEvents ?? []).map((event) => event.id));
}
