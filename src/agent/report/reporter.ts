import {
  reportDigest,
  stateDigestOf,
  type DeliveryReport,
  type ReportRequest,
  type ReportResponse,
  type ServedApis,
  type WireReason,
} from '#api';
import { askedWait, FairleadError, retryDelay, messageOf, type Clock, type Log, type Rng } from '#base';
import { deepEqual, formatId } from '#kube';
import type { AgentState } from '../core/model.ts';
import { deliveryReports, orphans } from '../core/view.ts';
import type { Credentials, PlaneClient } from '../link/plane-client.ts';

export interface ReporterOptions {
  readonly plane: PlaneClient;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly boot: string;
  readonly state: () => AgentState;
  /** With its list. Undefined: not known, nothing is said of it. */
  readonly apis: () => ServedApis | undefined;
  /** An event is told when it survives this process: told twice, it has the same id. */
  readonly isDurable: (event: string) => boolean;
  /** The plane has taken these events. */
  readonly onTaken: (events: readonly string[], gap: number) => void;
}

// Two reports never follow closer than this. A release that is applied and healthy within it costs one report.
const MIN_GAP_MS = 300;
const BACKOFF = { baseMs: 500, maxMs: 60_000 };
const QUIET_MS = 60;
/** After which a list that the plane did not take is sent again. */
const LIST_AGAIN_MS = 60_000;
const MAX_EVENTS = 200;
const MAX_DELIVERIES = 2000;
/** Problems of all deliveries together: the plane takes 4 MiB. */
const MAX_PROBLEMS = 1500;

/** Tells the plane what is: the newest state of each delivery, and every event once. Nothing new, no report. */
export class Reporter {
  readonly #options: ReporterOptions;
  /** As last told, by `project/application`. */
  #told = new Map<string, DeliveryReport>();
  /** With stable times, as they would be told now. */
  #current = new Map<string, DeliveryReport>();
  #toldRest = '';
  /** What of the served APIs the plane has taken. */
  #toldApis = '';
  #needsApis: 'no' | 'list' | 'later' = 'no';
  #number = 0;
  #isFull = true;
  #wake: (() => void) | undefined;
  #isDirty = true;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** Something may have changed. */
  notice(): void {
    this.#isDirty = true;
    this.#wake?.();
  }

  /** The plane asked for everything. */
  resync(): void {
    this.#isFull = true;
    this.notice();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, rng, log } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      if (!this.#isDirty) await this.#untilNoticed(signal);
      if (signal.aborted) return;
      // What belongs together comes together: a moment of quiet, but not for ever.
      for (let waited = 0; waited < MIN_GAP_MS; waited += QUIET_MS) {
        this.#isDirty = false;
        await clock.sleep(QUIET_MS, signal).catch(() => undefined);
        if (!this.#isDirty) break;
      }
      this.#isDirty = false;
      const request = this.#compose();
      if (request === undefined) continue;
      try {
        const retryAfterMs = await this.#send(request, signal);
        failures = 0;
        const waitMs = retryAfterMs > 0 ? retryDelay(0, retryAfterMs, BACKOFF, rng) : 0;
        await clock.sleep(Math.max(MIN_GAP_MS, waitMs), signal).catch(() => undefined);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        this.#isDirty = true;
        log.debug({ error: messageOf(error), failures }, 'the plane did not take a report');
        const askedMs = error instanceof FairleadError ? (error.retryAfterMs ?? 0) : 0;
        const waitMs = retryDelay(failures, askedMs, BACKOFF, rng);
        await clock.sleep(waitMs, signal).catch(() => undefined);
      }
    }
  }

  #untilNoticed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#wake = undefined;
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#wake = done;
      signal.addEventListener('abort', done, { once: true });
    });
  }

  #compose(): ReportRequest | undefined {
    const state = this.#options.state();
    const next = new Map<string, DeliveryReport>();
    const reports = deliveryReports(state, this.#options.clock.now());
    const most = Math.max(1, Math.floor(MAX_PROBLEMS / Math.max(1, reports.length)));
    for (const report of reports) {
      const key = `${report.project}/${report.application}`;
      next.set(key, steady({ ...report, problems: report.problems.slice(0, most) }, this.#current.get(key)));
    }
    this.#current = next;
    const changed = [...next].filter(([key, report]) => this.#isFull || !deepEqual(this.#told.get(key), report));
    const isGone = [...this.#told.keys()].some((key) => !next.has(key));
    const events = state.outbox.filter((event) => this.#options.isDurable(event.id)).slice(0, MAX_EVENTS);
    const rest = {
      retired: [...state.retired].map(([id, record]) => ({ id, ...record })),
      orphaned: orphans(state),
      agent: [...state.agent.values()]
        .slice(0, 20)
        .map((one): WireReason => ({ code: one.code, args: one.args, since: one.since })),
    };
    const isRestSame = JSON.stringify(rest) === this.#toldRest;
    const apis = this.#apisToTell();
    const isSame = changed.length === 0 && events.length === 0 && state.gap === 0 && isRestSame && apis === undefined;
    if (!this.#isFull && !isGone && isSame) return undefined;
    // A delivery that is no more is told by a full report, which names all that are.
    const isFull = this.#isFull || isGone;
    const deliveries = (isFull ? [...next.values()] : changed.map(([, report]) => report)).slice(0, MAX_DELIVERIES);
    return {
      boot: this.#options.boot,
      number: this.#number + 1,
      ...(state.position === undefined ? {} : { held: state.position }),
      full: isFull,
      deliveries,
      stateDigest: stateDigestOf(new Map([...next].map(([key, report]) => [key, reportDigest(report)]))),
      ...rest,
      events,
      gap: state.gap,
      ...(apis === undefined ? {} : { apis }),
    };
  }

  #apisToTell(): ServedApis | undefined {
    const apis = this.#options.apis();
    if (apis === undefined || this.#needsApis === 'later') return undefined;
    if (this.#needsApis === 'list') return apis;
    const { list: _known, ...digests } = apis;
    return this.#isFull || apisKey(apis) !== this.#toldApis ? digests : undefined;
  }

  #noteApis(told: ServedApis, isNeeded: boolean, signal: AbortSignal): void {
    this.#toldApis = isNeeded ? '' : apisKey(told);
    if (!isNeeded) this.#needsApis = 'no';
    else if (told.list === undefined) this.#needsApis = 'list';
    else {
      // Not taken although it was sent: it changes too often for the plane.
      this.#needsApis = 'later';
      const again = (): void => {
        this.#needsApis = 'list';
        this.notice();
      };
      void this.#options.clock.sleep(LIST_AGAIN_MS, signal).then(again, () => undefined);
    }
    if (this.#needsApis === 'list') this.notice();
  }

  async #send(request: ReportRequest, signal: AbortSignal): Promise<number> {
    const answer = await this.#options.plane.call({
      method: 'POST',
      path: '/agent/v1/reports',
      body: request,
      credentials: this.#options.credentials,
      timeoutMs: 30_000,
      maxResponseBytes: 64 * 1024,
      signal,
    });
    this.#number = request.number;
    const told = request.full ? new Map<string, DeliveryReport>() : new Map(this.#told);
    for (const report of request.deliveries) told.set(`${report.project}/${report.application}`, report);
    this.#told = told;
    this.#toldRest = JSON.stringify({ retired: request.retired, orphaned: request.orphaned, agent: request.agent });
    this.#isFull = false;
    if (request.events.length > 0 || request.gap > 0) {
      this.#options.onTaken(
        request.events.map((event) => event.id),
        request.gap,
      );
    }
    const response = JSON.parse(answer.toString('utf8')) as Partial<ReportResponse>; // over pinned TLS; every field optional
    if (request.apis !== undefined) this.#noteApis(request.apis, response.needsApis === true, signal);
    if (response.resync === true) this.resync();
    return Math.min(askedWait(response.retryAfterMs), 600_000);
  }
}

function apisKey({ digest, unavailable }: ServedApis): string {
  return [digest, ...unavailable].join(' ');
}

/** The same sentence keeps the time when it was first said. */
function steady(report: DeliveryReport, before: DeliveryReport | undefined): DeliveryReport {
  if (before === undefined) return report;
  const same = (a: WireReason, b: WireReason | undefined): boolean =>
    b !== undefined && a.code === b.code && deepEqual(a.args, b.args);
  const problems = report.problems.map((problem) => {
    const known = before.problems.find((one) => one.state === problem.state && formatId(one.id) === formatId(problem.id));
    return known !== undefined && same(problem.reason, known.reason) ? known : problem;
  });
  const { reason } = report;
  const isSame = reason !== undefined && before.reason !== undefined && same(reason, before.reason);
  return { ...report, problems, ...(isSame ? { reason: before.reason } : {}) };
}
