import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { FairleadError, codeOf, systemClock, unreachable, type Clock, type Log } from '#base';
import { smallModuleOf } from './build.ts';
import { checkRequest } from './check-request.ts';
import { defaultLimits, type RenderLimits } from './limits.ts';
import { Pool, type JobOutcome } from './pool.ts';
import type { ChildAnswer, ChildObject, ChildRequest } from './protocol.ts';
import { Quarantine } from './quarantine.ts';
import type {
  Recipient,
  RenderedObject,
  RenderError,
  RenderedHook,
  RenderErrorCode,
  RenderRequest,
  RenderResult,
  SealedBody,
} from './types.ts';

export interface RendererOptions {
  /** From `buildRenderer`. */
  readonly wasmPath: string;
  readonly log: Log;
  /** Children at work at the same time; one more stays warm. Default 2, so that one bad input does not stop all. */
  readonly poolSize?: number;
  readonly limits?: Partial<RenderLimits>;
  readonly clock?: Clock;
}

export interface Renderer {
  /** Changes when the same input may render to something else; part of every cache key. */
  readonly version: string;
  /** Never rejects for what the input, the limits or the machine do: that is `ok: false`. */
  render(request: RenderRequest, signal?: AbortSignal): Promise<RenderResult>;
  /** Kills the children; waiting renders end as `FL_RENDER_CANCELLED`. */
  stop(): void;
  /** Renders that wait, and the process ids of the children. */
  status(): { readonly waiting: number; readonly pids: readonly number[] };
}

/** Errors: `FL_RENDER_MODULE` when there is no module at `wasmPath`. Children start with the first render. */
export async function createRenderer(options: RendererOptions): Promise<Renderer> {
  const version = await versionOf(options.wasmPath);
  const limits = { ...defaultLimits, ...options.limits };
  const clock = options.clock ?? systemClock;
  const { log, wasmPath } = options;
  const pool = new Pool({ wasmPath, log, limits, clock, size: options.poolSize ?? 2 });
  const quarantine = new Quarantine({ clock, kills: limits.killsToQuarantine, ms: limits.quarantineMs });

  async function render(request: RenderRequest, signal: AbortSignal): Promise<RenderResult> {
    const refused = checkRequest(request, limits);
    if (refused.length > 0) return failed(version, refused);
    const held = quarantine.refusal(request);
    if (held !== undefined) return failed(version, [held]);
    const paths = [...request.files.keys()].sort(compareText);
    const files = paths.map((path) => request.files.get(path) ?? new Uint8Array());
    const startedAt = clock.monotonic();
    const job = { project: request.project, request: childRequest(request, paths, files, limits), files, signal };
    const { outcome, queuedMs } = await pool.run(job);
    const totalMs = clock.monotonic() - startedAt - queuedMs;
    if (isKill(outcome)) {
      const isQuarantined = quarantine.count(request);
      const { project, application, cluster } = request;
      log.warn({ project, application, cluster: cluster.name, ended: endOf(outcome), isQuarantined }, 'a render was killed');
    }
    return resultOf(outcome, request.recipients, { version, limits, queuedMs, totalMs });
  }

  return {
    version,
    render: (request, signal) => render(request, signal ?? new AbortController().signal),
    stop: () => pool.stop(),
    status: () => ({ waiting: pool.waiting, pids: pool.pids }),
  };
}

async function versionOf(wasmPath: string): Promise<string> {
  const bytes = await readFile(wasmPath).catch((cause: unknown) => {
    const message = `cannot read the renderer module ${wasmPath} (${codeOf(cause) ?? 'unknown'}); build it with buildRenderer`;
    throw new FairleadError('FL_RENDER_MODULE', message, { kind: 'unavailable', retryable: false, cause });
  });
  const small = await readFile(smallModuleOf(wasmPath)).catch(() => Buffer.alloc(0));
  return createHash('sha256').update(bytes).update(small).digest('hex').slice(0, 16);
}

function childRequest(
  request: RenderRequest,
  paths: readonly string[],
  files: readonly Uint8Array[],
  limits: RenderLimits,
): Omit<ChildRequest, 'id'> {
  const { render } = request;
  const { name, labels, facts, capabilities } = request.cluster;
  const cluster = { name, labels, facts, ...(capabilities === undefined ? {} : { capabilities }) };
  return {
    module: {
      engine: render.engine,
      path: request.path ?? '.',
      ...(render.helm === undefined ? {} : { helm: render.helm }),
      ...(render.kustomize === undefined ? {} : { kustomize: render.kustomize }),
      remotes: request.fetched ?? [],
      recurse: render.recurse,
      substitute: render.substitute,
      cluster,
      defaultNamespace: request.defaultNamespace ?? '',
      sensitiveKinds: (request.sensitiveKinds ?? []).map(({ group, kind }) => ({ group, kind })),
      hasRecipients: request.recipients.length > 0,
      files: paths.map((path, index) => ({ path, bytes: files[index]?.byteLength ?? 0 })),
    },
    recipients: request.recipients,
    timeMs: request.commitTimeMs,
    seed: request.seed,
    maxSealings: limits.sealings,
    maxOutputBytes: limits.outputBytes,
  };
}

/** Whether the input is to blame for the end of a child, as far as one can tell. */
function isKill(outcome: JobOutcome): boolean {
  if (outcome.ended === 'answer') return outcome.answer.kind === 'died' && outcome.answer.ended !== 'depth';
  return outcome.ended === 'deadline' || outcome.ended === 'exit' || outcome.ended === 'protocol';
}

function endOf(outcome: JobOutcome): string {
  return outcome.ended === 'answer' && outcome.answer.kind === 'died' ? outcome.answer.ended : outcome.ended;
}

interface Around {
  readonly version: string;
  readonly limits: RenderLimits;
  readonly queuedMs: number;
  readonly totalMs: number;
}

function resultOf(outcome: JobOutcome, recipients: readonly Recipient[], around: Around): RenderResult {
  const { version, limits } = around;
  const single = (code: RenderErrorCode, message: string, rule: string, more: Partial<RenderError> = {}): RenderResult =>
    failed(version, [{ code, rule, message, ...more }]);
  switch (outcome.ended) {
    case 'answer':
      return resultOfAnswer(outcome.answer, outcome.body, recipients, around);
    case 'deadline':
      return single(
        'FL_RENDER_DEADLINE',
        `rendering took longer than ${limits.deadlineMs} ms; split the application`,
        'deadline',
        {
          limit: limits.deadlineMs,
        },
      );
    case 'exit':
    case 'protocol':
      return single('FL_RENDER_CRASHED', 'the renderer process ended while it worked on this input', 'crash');
    case 'busy':
      return retry(
        version,
        'FL_RENDER_BUSY',
        `${limits.queued} renders are waiting already; try again`,
        'busy',
        1_000,
        limits.queued,
      );
    case 'cancelled':
      return retry(version, 'FL_RENDER_CANCELLED', 'the render was cancelled', 'cancelled');
    case 'stopped':
      return retry(version, 'FL_RENDER_CANCELLED', 'the renderer is stopping', 'stopped');
    case 'no-child':
      return retry(version, 'FL_RENDER_UNAVAILABLE', outcome.message, 'no-child', 5_000);
    default:
      return unreachable(outcome);
  }
}

function resultOfAnswer(answer: ChildAnswer, body: Buffer, recipients: readonly Recipient[], around: Around): RenderResult {
  const { version, limits, queuedMs, totalMs } = around;
  if (answer.kind === 'refused') return failed(version, [answer.error]);
  if (answer.kind === 'died') {
    const place = answer.place ?? {};
    const megabytes = limits.memoryPages / 16;
    switch (answer.ended) {
      case 'depth':
        return failed(version, [
          { code: 'FL_RENDER_LIMIT', rule: 'depth', message: 'nested deeper than 100 levels', limit: 100, ...place },
        ]);
      case 'memory':
        return failed(version, [
          {
            code: 'FL_RENDER_MEMORY',
            rule: 'memory',
            message: `rendering needs more than ${megabytes} MiB; split the application`,
            limit: megabytes,
            ...place,
          },
        ]);
      case 'crash':
        return failed(version, [
          { code: 'FL_RENDER_CRASHED', rule: 'crash', message: 'the renderer failed on this input; please report it', ...place },
        ]);
      default:
        return unreachable(answer.ended);
    }
  }
  if (answer.kind === 'ready') return failed(version, [broken('answered out of turn')]);
  const readSet = { ...answer.readSet, randomness: answer.randomness };
  if (answer.errors.length > 0) return { ...failed(version, answer.errors), readSet };
  const unpacked = unpack(answer.objects, body, recipients);
  if (unpacked === undefined) return failed(version, [broken('gave lengths that do not add up')]);
  const timings = { queuedMs, renderMs: answer.renderMs, sealMs: answer.sealMs, totalMs };
  const { engine, notes } = answer;
  const objects = unpacked.filter((object) => !isHook(object));
  return { ok: true, objects, hooks: unpacked.filter(isHook), engine, notes, readSet, rendererVersion: version, timings };
}

function isHook(object: RenderedObject | RenderedHook): object is RenderedHook {
  return 'hook' in object;
}

/** Cuts the body into the objects' bytes; undefined when the lengths do not fit. */
function unpack(
  objects: readonly ChildObject[],
  body: Buffer,
  recipients: readonly Recipient[],
): (RenderedObject | RenderedHook)[] | undefined {
  let at = 0;
  const cut = (bytes: number): Buffer => {
    const piece = body.subarray(at, at + bytes);
    at += bytes;
    return piece;
  };
  const out: (RenderedObject | RenderedHook)[] = [];
  for (const object of objects) {
    const { bytes: _bytes, sealed: _sealed, sensitive: _sensitive, ...facts } = object;
    const first = cut(object.bytes);
    if (!object.sensitive) {
      out.push({ ...facts, sensitive: false, body: first });
      continue;
    }
    if (object.sealed.length !== recipients.length) return undefined;
    const sealed = object.sealed.map(({ equality, bytes }, index): SealedBody => {
      return { cluster: recipients[index]?.cluster ?? '', equality, bytes: cut(bytes) };
    });
    out.push({ ...facts, sensitive: true, redactedBody: first, sealed });
  }
  return at === body.length ? out : undefined;
}

function broken(what: string): RenderError {
  return {
    code: 'FL_RENDER_INTERNAL',
    rule: 'protocol',
    message: `the renderer ${what}; this is a defect of Fairlead, please report it`,
  };
}

function failed(version: string, errors: readonly RenderError[]): Extract<RenderResult, { readonly ok: false }> {
  return { ok: false, errors, retryable: false, rendererVersion: version };
}

function retry(
  version: string,
  code: RenderErrorCode,
  message: string,
  rule: string,
  retryAfterMs?: number,
  limit?: number,
): RenderResult {
  const error = limit === undefined ? { code, rule, message } : { code, rule, message, limit };
  const after = retryAfterMs === undefined ? {} : { retryAfterMs };
  return { ok: false, errors: [error], retryable: true, ...after, rendererVersion: version };
}

/** By code unit, as every list of names in Fairlead is sorted; not by locale. */
function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
