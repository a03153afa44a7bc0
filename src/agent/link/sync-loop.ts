import {
  agentRefusals,
  CAPABILITY,
  reason,
  type DesiredPosition,
  type DesiredState,
  type Envelope,
  type KeySet,
  type LookRequest,
  type Reason,
  type SyncResponse,
} from '#api';
import {
  askedWait,
  FairleadError,
  jittered,
  messageOf,
  randomToken,
  retryDelay,
  rfc3339,
  type Clock,
  type Log,
  type Rng,
} from '#base';
import { PlaneError, type Credentials, type PlaneClient } from './plane-client.ts';
import { verifyDesired, verifyHead, verifyKeySet, verifyLooks, type Trust } from './verify.ts';

export interface SyncOptions {
  readonly plane: PlaneClient;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly boot: string;
  readonly version: string;
  readonly kubeSystemUid: string;
  readonly rootHash: string;
  readonly facts: () => Promise<Readonly<Record<string, string>>>;
  readonly keySet: () => KeySet;
  readonly onKeySet: (envelope: Envelope, keySet: KeySet) => Promise<void>;
  /** The floor: what is durable here. */
  readonly position: () => DesiredPosition | undefined;
  readonly heldEnvelope: () => Envelope | undefined;
  /** A verified, newer document. Resolves when it is durable. */
  readonly onDocument: (document: DesiredState, position: DesiredPosition, envelope: Envelope) => Promise<void>;
  /** A refused document, or that documents are fine again (undefined). */
  readonly onRefused: (refused: Reason | undefined) => void;
  readonly onResync: () => void;
  /** Live objects that people want to see; verified. */
  readonly onLooks: (looks: readonly LookRequest[]) => void;
  /** The plane does not know this agent: show it the receipt. */
  readonly onUnknown: (signal: AbortSignal) => Promise<void>;
  /** Between two questions to a plane that has let go of this agent. Default ten minutes. */
  readonly dismissedMs?: number;
  /** First wait that is asked for, ms. Default 50,000. */
  readonly firstWaitMs?: number;
}

const MIN_WAIT_MS = 5000;
const MAX_WAIT_MS = 285_000;
const MAX_RESPONSE_BYTES = 32 * 1024 * 1024;
const WORTH_CORRECTING_MS = 1000;
const DISMISSED_MS = 600_000;
const BACKOFF = { baseMs: 500, maxMs: 30_000 };

/** Asks the plane again and again for what should be. A plane that has let go of this agent is asked seldom. */
export class SyncLoop {
  readonly #options: SyncOptions;
  #waitMs: number;
  #mustProve = false;
  /** The last answer was refused: the next question is not held, so that it shows soon when all is fine again. */
  #isRefused = false;
  #dismissed = '';
  #factsToSend: Readonly<Record<string, string>> | undefined;
  /** Last contact with a plane that is live: a head for our own question, or a new document. Ms, or undefined. */
  lastContactAt: number | undefined;

  constructor(options: SyncOptions) {
    this.#options = options;
    this.#waitMs = options.firstWaitMs ?? 50_000;
  }

  /** Facts may have changed: they go with the next question. */
  async refreshFacts(): Promise<void> {
    this.#factsToSend = await this.#options.facts().catch(() => this.#factsToSend);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, rng, log, plane } = this.#options;
    this.#factsToSend = await this.#options.facts().catch(() => ({}));
    let failures = 0;
    while (!signal.aborted) {
      const startedAt = clock.monotonic();
      try {
        const retryAfterMs = await this.#ask(signal);
        if (failures > 0) log.info({ failures }, 'the plane answers again');
        failures = 0;
        this.#dismissed = '';
        if (retryAfterMs > 0) await clock.sleep(retryDelay(0, retryAfterMs, BACKOFF, rng), signal).catch(() => undefined);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        const problem = error instanceof PlaneError ? error.problem : '';
        if (problem === agentRefusals.detached || problem === agentRefusals.replaced || problem === agentRefusals.old) {
          if (this.#dismissed !== problem) {
            log.error(
              { error: messageOf(error), code: problem },
              'the plane has let go of this agent: what is there stays and is kept, nothing new is fetched',
            );
          }
          this.#dismissed = problem;
          await clock.sleep(jittered(this.#options.dismissedMs ?? DISMISSED_MS, 0.2, rng), signal).catch(() => undefined);
          continue;
        }
        if (problem === agentRefusals.unknown || (error instanceof PlaneError && error.status === 404)) {
          await this.#options.onUnknown(signal).catch((cause: unknown) => {
            log.warn({ error: messageOf(cause) }, 'the plane does not know this agent, nor its receipt');
          });
        }
        // A request that was held and then cut: something in between does not like to wait that long.
        const heldMs = clock.monotonic() - startedAt;
        if (error instanceof PlaneError && error.status === 0 && heldMs > MIN_WAIT_MS && heldMs < this.#waitMs) {
          this.#waitMs = Math.max(MIN_WAIT_MS, Math.min(this.#waitMs, heldMs * 0.8));
        }
        if (failures === 1)
          log.warn({ error: messageOf(error), url: plane.url }, 'the plane cannot be asked; what is held is kept');
        const askedMs = error instanceof FairleadError ? (error.retryAfterMs ?? 0) : 0;
        await clock.sleep(retryDelay(failures, askedMs, BACKOFF, rng), signal).catch(() => undefined);
      }
    }
  }

  /** One question. Returns how long the plane wants not to be asked, ms. */
  async #ask(signal: AbortSignal): Promise<number> {
    const { plane, credentials, position, boot, version, keySet } = this.#options;
    const nonce = randomToken(16);
    const held = position();
    const proof = this.#mustProve ? this.#options.heldEnvelope() : undefined;
    const facts = this.#factsToSend;
    const isHasty = this.#mustProve || this.#isRefused || facts !== undefined;
    const waitMs = isHasty ? 0 : Math.round(this.#waitMs);
    const answer = await plane.call({
      method: 'POST',
      path: '/agent/v1/sync',
      body: {
        ...(held === undefined ? {} : { held }),
        nonce,
        waitMs,
        keySetVersion: keySet().version,
        capability: CAPABILITY,
        version,
        boot,
        ...(facts === undefined ? {} : { facts }),
        ...(proof === undefined ? {} : { proof }),
      },
      credentials,
      timeoutMs: waitMs + 30_000,
      maxResponseBytes: MAX_RESPONSE_BYTES,
      signal,
    });
    // Others may have come meanwhile.
    if (this.#factsToSend === facts) this.#factsToSend = undefined;
    const response = JSON.parse(answer.toString('utf8')) as SyncResponse; // what counts in it is signed
    this.#mustProve = response.need === 'held';
    if (response.keySet !== undefined) await this.takeKeySet(response.keySet);
    if (response.resync === true) this.#options.onResync();
    if (response.looks !== undefined) this.#takeLooks(response.looks, nonce);
    const pauseMs = askedWait(response.retryAfterMs);
    if (response.desired !== undefined) {
      const isFine = await this.#takeDocument(response.desired);
      // The same refused document again and again helps nobody.
      return isFine ? pauseMs : Math.max(pauseMs, 5000);
    }
    // An answer that came early says nothing about how long one may be held.
    if (response.head !== undefined) this.#takeHead(response.head, nonce, response.looks === undefined ? waitMs : 0);
    else if (!this.#mustProve) return Math.max(pauseMs, 1000);
    return pauseMs;
  }

  async takeKeySet(envelope: Envelope): Promise<void> {
    const next = verifyKeySet(envelope, this.#options.rootHash, this.#options.keySet());
    if (next.version > this.#options.keySet().version) await this.#options.onKeySet(envelope, next);
  }

  async #takeDocument(envelope: Envelope): Promise<boolean> {
    const verdict = verifyDesired(envelope, this.#trust());
    switch (verdict.kind) {
      case 'held':
        this.#accepted();
        return true;
      case 'refused':
        this.#options.log.error({ reason: verdict.reason.code, args: verdict.reason.args }, 'refused a document');
        this.#refused(verdict.reason);
        return false;
      case 'newer':
        this.lastContactAt = this.#options.clock.now();
        this.#accepted();
        await this.#options.onDocument(verdict.document, verdict.position, envelope);
        return true;
    }
  }

  #takeHead(envelope: Envelope, nonce: string, askedMs: number): void {
    const { clock, plane } = this.#options;
    this.#fresh(() => {
      const head = verifyHead(envelope, this.#trust(), nonce);
      // `clock` is the plane's as we know it: what is left is what we did not know.
      const errorMs = head.time - clock.now();
      if (Math.abs(errorMs) > WORTH_CORRECTING_MS) plane.clockOffsetMs += errorMs;
      this.lastContactAt = clock.now();
      // It was held for as long as we asked, and arrived: longer may work, too.
      if (askedMs > 0) this.#waitMs = Math.min(MAX_WAIT_MS, this.#waitMs * 1.5);
      // The plane itself says that what is held is the newest: whatever was offered before is not what it wants.
      if (head.position.digest === this.#options.position()?.digest) this.#accepted();
    });
  }

  #takeLooks(envelope: Envelope, nonce: string): void {
    this.#fresh(() => this.#options.onLooks(verifyLooks(envelope, this.#trust(), nonce)));
  }

  /** Errors: FL_PLANE_HEAD for what `take` refuses; the plane is told. */
  #fresh(take: () => void): void {
    const { clock, credentials } = this.#options;
    try {
      take();
    } catch (error) {
      const words = messageOf(error);
      this.#refused(reason('FL_DOCUMENT_SIGNATURE', { cluster: credentials.cluster, words }, rfc3339(clock.now())));
      throw new FairleadError('FL_PLANE_HEAD', `the plane's answer is not fresh: ${words}`, { kind: 'unavailable' });
    }
  }

  #refused(why: Reason): void {
    this.#isRefused = true;
    this.#options.onRefused(why);
  }

  #accepted(): void {
    this.#isRefused = false;
    this.#options.onRefused(undefined);
  }

  #trust(): Trust {
    const { credentials, kubeSystemUid, keySet, position, clock } = this.#options;
    return {
      planeId: credentials.planeId,
      cluster: credentials.cluster,
      kubeSystemUid,
      keySet: keySet(),
      floor: position(),
      now: rfc3339(clock.now()),
    };
  }
}
