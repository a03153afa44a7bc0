import { reason, type Reason } from '#api';
import { FairleadError, messageOf, rfc3339, unreachable, type Log } from '#base';
import type { ResourceMapping } from '#kube';
import { applyObjects } from '../apply/apply-objects.ts';
import type { ClusterPort } from '../apply/cluster-port.ts';
import { ensureNamespace } from '../apply/ensure-namespace.ts';
import { failureOf } from '../apply/failure.ts';
import { advanceHook, clearHook, type HookMarks } from '../apply/run-hook.ts';
import { ignoreRulesFor } from '../apply/ignore-rules.ts';
import { windUpHelmReleases } from '../apply/helm-releases.ts';
import { withTakeover } from '../apply/takeover.ts';
import { planObjects } from '../apply/plan-objects.ts';
import { removeObjects } from '../apply/remove-objects.ts';
import type { WantedObjects } from '../apply/wanted-objects.ts';
import type { AppCommand, Command, Outcome } from '../core/messages.ts';
import type { AgentState, AppKey, Drift, ObjectKey, PlannedObject } from '../core/model.ts';
import { keptObjects } from '../core/corrections.ts';
import { fetchContent } from '../link/fetch-content.ts';
import type { Credentials, PlaneClient } from '../link/plane-client.ts';
import type { AgentStore } from '../state/agent-store.ts';
import type { Watcher } from '../watch/watcher.ts';
import { kindOf } from '../watch/watcher.ts';
import { findMarked } from './find-marked.ts';
import type { Post } from './mailbox.ts';

export interface InterpreterOptions {
  readonly store: AgentStore;
  readonly plane: PlaneClient;
  readonly credentials: Credentials;
  readonly port: ClusterPort;
  readonly watcher: Watcher;
  readonly wantedObjects: WantedObjects;
  readonly post: (signal: Post) => void;
  readonly state: () => AgentState;
  /** The memory can no longer be trusted to be durable: the session ends and begins anew from what is. */
  readonly fail: (error: unknown) => void;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Carries out what the reducer decided, and posts how it ended. One command at a time per application. */
export class Interpreter {
  readonly #options: InterpreterOptions;
  readonly #running = new Map<AppKey, AbortController>();
  readonly #nudges = new Map<AppKey, string>();

  constructor(options: InterpreterOptions) {
    this.#options = options;
  }

  execute(command: Command, state: AgentState): void {
    switch (command.type) {
      case 'storeDocument':
        void this.#storeDocument(command);
        break;
      case 'cancel':
        this.#running.get(command.app)?.abort();
        break;
      default:
        void this.#run(command, state);
    }
  }

  async #storeDocument(command: Extract<Command, { type: 'storeDocument' }>): Promise<void> {
    const { store, port, post, signal, fail } = this.#options;
    try {
      const found = command.isFirst ? await findMarked(port, signal) : undefined;
      await store.setHeld(command.envelope);
      post({ type: 'documentStored', ...(found === undefined ? {} : { found }) });
    } catch (error) {
      fail(error);
    }
  }

  async #run(command: AppCommand, state: AgentState): Promise<void> {
    const { post, signal, log } = this.#options;
    const controller = new AbortController();
    this.#running.set(command.app, controller);
    const both = AbortSignal.any([signal, controller.signal]);
    try {
      const outcome = await this.#perform(command, state, both);
      this.#running.delete(command.app);
      post({ type: 'outcome', app: command.app, outcome });
      if (command.type === 'apply') this.#options.watcher.recheck(command.objects.map((object) => object.key));
      if (command.type === 'watch' && command.tells) this.#options.watcher.tell(command.objects.map((object) => object.key));
    } catch (error) {
      this.#running.delete(command.app);
      if (signal.aborted) return;
      if (command.type === 'store') {
        this.#options.fail(error);
        return;
      }
      if (!controller.signal.aborted)
        log.warn({ application: command.app, command: command.type, error }, 'a step of an application failed');
      const retryAfterMs = error instanceof FairleadError ? error.retryAfterMs : undefined;
      post({
        type: 'outcome',
        app: command.app,
        outcome: {
          type: 'failed',
          reason: this.#whyFailed(command, error),
          ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        },
      });
    }
  }

  async #perform(command: AppCommand, state: AgentState, signal: AbortSignal): Promise<Outcome> {
    const { store, plane, credentials, port, watcher, wantedObjects } = this.#options;
    const owner = state.apps.get(command.app)?.owner ?? '';
    switch (command.type) {
      case 'fetch':
        await fetchContent(command.wanted.bundle, { plane, credentials, store, signal });
        return { type: 'fetched' };
      case 'plan':
        return this.#plan(command, state, signal);
      case 'watch':
        return this.#watch(command, owner);
      case 'store': {
        const retired = new Map(this.#options.state().retired);
        if (command.retired !== undefined) retired.set(command.retired.id, command.retired.record);
        await store.setRecord(command.app, command.record, {
          ...(command.retired === undefined ? {} : { retired }),
          events: command.events,
        });
        if (command.record === undefined) await watcher.want(command.app, [], false);
        return { type: 'stored' };
      }
      case 'apply': {
        await this.#watchNewKinds(command.objects);
        await ensureNamespace(command.wanted, command.objects, port, signal);
        if (command.isCorrection) await this.#noteCorrections(command, state);
        const results = await applyObjects(
          { ...command, owner },
          { port, watcher, wantedObjects, knownOwner: knownOwners(state) },
          signal,
        );
        await this.#watchNewKinds(command.objects);
        return { type: 'applied', results };
      }
      case 'hook':
        return this.#hook(command, owner, signal);
      case 'windUpHelm':
        return { type: 'woundUp', releases: await windUpHelmReleases({ ...command, keys: new Set(command.keys) }, port, signal) };
      case 'clearHooks':
        for (const { hook, mark } of command.hooks)
          await clearHook({ hook, mark, serviceAccount: command.serviceAccount }, port, signal);
        return { type: 'cleared' };
      case 'remove':
        return { type: 'removed', results: await removeObjects({ ...command, owner }, port, signal) };
      default:
        return unreachable(command);
    }
  }

  async #hook(command: Extract<AppCommand, { type: 'hook' }>, owner: string, signal: AbortSignal): Promise<Outcome> {
    const { port, wantedObjects } = this.#options;
    const { hook, wanted, serviceAccount } = command;
    try {
      if (wanted !== undefined && command.uid === undefined) await ensureNamespace(wanted, [hook], port, signal);
      const job = { ...command, owner, body: (marks: HookMarks) => wantedObjects.bareBody(hook, marks) };
      return await port.limiter.run(() => advanceHook(job, port, signal), signal);
    } catch (error) {
      if (signal.aborted) throw error;
      // Nothing ran: what the API server refuses now it may take later.
      const { reason, retry } = failureOf(error, { object: hook, verb: 'create', serviceAccount }, port);
      return { type: 'failed', reason, ...(retry === 'late' ? { retryAfterMs: 5000 } : {}) };
    }
  }

  /** A kill between a correction and its event must not lose the event. */
  async #noteCorrections(command: Extract<AppCommand, { type: 'apply' }>, state: AgentState): Promise<void> {
    const app = state.apps.get(command.app);
    const drifts = new Map<ObjectKey, Drift>();
    for (const { key } of command.objects) {
      const drift = app === undefined ? undefined : keptObjects(app).get(key)?.correcting;
      if (drift !== undefined) drifts.set(key, drift);
    }
    try {
      await this.#options.store.setCorrecting(command.app, drifts, state.outbox);
    } catch (error) {
      this.#options.fail(error);
      throw error;
    }
  }

  async #plan(command: Extract<AppCommand, { type: 'plan' }>, state: AgentState, signal: AbortSignal): Promise<Outcome> {
    const owner = state.apps.get(command.app)?.owner ?? '';
    const { store, port, wantedObjects } = this.#options;
    const { wanted, app, isStanding } = command;
    const bundle = store.bundle(wanted.bundle);
    if (bundle === undefined) {
      if (isStanding) return { type: 'planned', objects: [], hooks: [], isTakeover: false, unresolved: [], refused: [] };
      throw new FairleadError('FL_CONTENT_MISSING', `bundle ${wanted.bundle} is not here; it is fetched again`, {
        kind: 'unavailable',
      });
    }
    const planned = await planObjects(bundle, wanted, (entry) => wantedObjects.peek(entry), port);
    if (isStanding) return { ...planned, objects: planned.objects.filter((object) => store.hasObject(object.digest)) };
    // Hooks act before the first object is looked at: whether it is an upgrade of somebody's release must be known by then.
    if (planned.hooks.length === 0 || state.apps.get(app)?.record?.applied !== undefined) return planned;
    return withTakeover(planned, wanted, { own: owner, known: knownOwners(state) }, port, signal);
  }

  async #watch({ app, wanted, objects, isStanding }: Extract<AppCommand, { type: 'watch' }>, owner: string): Promise<Outcome> {
    const { watcher, wantedObjects } = this.#options;
    const watched = objects
      .filter((object) => !object.isCreateOnly)
      .map((object) => ({ app, owner, object, ignore: ignoreRulesFor(wanted, object.id) }));
    // What cannot be unsealed fails when it is applied, with its own reason.
    for (const { object } of watched) await wantedObjects.prepare(object, owner).catch(() => undefined);
    await watcher.want(app, watched, isStanding);
    const before = this.#nudges.get(app);
    if (!isStanding) this.#nudges.set(app, wanted.nudge ?? '');
    const isAsked = !isStanding && before !== undefined && before !== (wanted.nudge ?? '');
    if (isAsked || (isStanding && watcher.isBehind(objects.map((object) => object.key)))) await watcher.refresh();
    return { type: 'watching' };
  }

  /** Kinds that came to be served only now (by a CustomResourceDefinition before) are watched from their first object on. */
  async #watchNewKinds(objects: readonly PlannedObject[]): Promise<void> {
    const { port, watcher } = this.#options;
    const watched = new Set(watcher.kinds);
    const mappings = new Map<string, ResourceMapping>();
    for (const object of objects) {
      const kind = kindOf(object.key);
      if (watched.has(kind) || mappings.has(kind)) continue;
      const mapping = await port.mapper.mapping(object.id).catch(() => undefined);
      if (mapping !== undefined) mappings.set(kind, mapping);
    }
    if (mappings.size > 0) await watcher.watchKinds([...mappings.values()]);
  }

  #whyFailed(command: AppCommand, error: unknown): Reason {
    const { port } = this.#options;
    const since = rfc3339(port.clock.now());
    const cluster = port.cluster;
    if (command.type === 'fetch') {
      if (error instanceof FairleadError && error.code === 'FL_CONTENT_DIGEST') {
        return reason('FL_DOCUMENT_DIGEST', { cluster, wanted: error.details['wanted'], retry: 'soon' }, since);
      }
      const { release, bundle } = command.wanted;
      const words = messageOf(error);
      const isLate = error instanceof FairleadError && (error.kind === 'unavailable' || error.code === 'FL_CONTENT_MISSING');
      return isLate
        ? reason('FL_APPLY_CONTENT', { cluster, release, words, retry: 'soon' }, since)
        : reason('FL_APPLY_FAILED', { cluster, object: `bundle ${bundle}`, words, retry: 'soon' }, since);
    }
    return reason('FL_APPLY_UNAVAILABLE', { cluster, words: messageOf(error), retry: 'soon' }, since);
  }
}

/** Which application of this plane an owner label belongs to. */
function knownOwners(state: AgentState): (label: string) => string | undefined {
  const owners = new Map([...state.apps.values()].map((app) => [app.owner, app.key]));
  return (label) => owners.get(label);
}
