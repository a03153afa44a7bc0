import type { LookAnswer, LookRequest } from '#api';
import { lookLimits } from '#api';
import { messageOf, rfc3339, TokenBuckets } from '#base';
import type { AgentState } from '../core/model.ts';
import type { Credentials, PlaneClient } from '../link/plane-client.ts';
import { lookAtObject, type LookPort } from './look-at-object.ts';

export interface LookDeskOptions extends LookPort {
  /** False: the cluster's owner has turned looks off; that is what is answered. */
  readonly isOn: boolean;
  readonly plane: PlaneClient;
  readonly credentials: Credentials;
  readonly state: () => AgentState;
  readonly signal: AbortSignal;
}

/** At the same time; what is more is answered `busy`. */
const MAX_IN_FLIGHT = 8;
/** However often a plane asks, the API server is not asked more often than this. */
const BUDGET = { burst: 30, perSecond: 5 };
const POST_TIMEOUT_MS = 10_000;

/**
 * Shows live objects to the plane, when it asks: one read of the API server per look and nothing in between. Bounded whatever
 * the plane does, and told to the log, so that who was shown what does not depend on the plane's word.
 */
export class LookDesk {
  readonly #options: LookDeskOptions;
  readonly #inFlight = new Set<string>();
  readonly #buckets = new TokenBuckets();

  constructor(options: LookDeskOptions) {
    this.#options = options;
  }

  /** `looks`: verified. Returns at once; never throws. */
  take(looks: readonly LookRequest[]): void {
    for (const look of looks) {
      // Handed over again, because the plane does not know whether it arrived.
      if (this.#inFlight.has(look.id)) continue;
      // Answers cost memory and a request each, too.
      if (this.#inFlight.size >= 2 * MAX_IN_FLIGHT) continue;
      void this.#show(look);
    }
  }

  async #show(look: LookRequest): Promise<void> {
    const { log, signal } = this.#options;
    const { project, application, object, by } = look;
    const about = {
      application: `${project}/${application}`,
      kind: object.kind,
      object: object.name,
      namespace: object.namespace,
      by,
    };
    const isBusy = this.#inFlight.size >= MAX_IN_FLIGHT;
    this.#inFlight.add(look.id);
    try {
      const answer = await this.#answer(look, isBusy);
      // Before it is sent: nobody but this log can say afterwards that it was.
      log.info({ ...about, answer: answer.refusal ?? answer.is }, 'was asked to show a live object');
      await this.#post(answer);
    } catch (error) {
      if (!signal.aborted) log.warn({ ...about, error: messageOf(error) }, 'a live object could not be shown');
    } finally {
      this.#inFlight.delete(look.id);
    }
  }

  async #answer(look: LookRequest, isBusy: boolean): Promise<LookAnswer> {
    const { clock, isOn, signal, state } = this.#options;
    const refused = (refusal: NonNullable<LookAnswer['refusal']>): LookAnswer => ({
      id: look.id,
      object: look.object,
      seenAt: rfc3339(clock.now()),
      is: 'refused',
      refusal,
    });
    if (!isOn) return refused('off');
    if (isBusy || this.#buckets.take('', BUDGET, clock.now()) > 0) return refused('busy');
    return lookAtObject(look, state(), this.#options, signal);
  }

  async #post(answer: LookAnswer): Promise<void> {
    const { plane, credentials, signal } = this.#options;
    const call = (body: LookAnswer): Promise<Buffer> =>
      plane.call({
        method: 'POST',
        path: '/agent/v1/looks',
        body,
        credentials,
        timeoutMs: POST_TIMEOUT_MS,
        maxResponseBytes: 16 * 1024,
        signal,
      });
    const bytes = Buffer.byteLength(JSON.stringify(answer));
    if (bytes <= lookLimits.maxAnswerBytes) await call(answer);
    else {
      // A manifest of nothing but quotes: twice as long within JSON.
      const { id, object, seenAt } = answer;
      await call({ id, object, seenAt, is: 'refused', refusal: 'failed', words: 'it is too large to be shown' });
    }
  }
}
