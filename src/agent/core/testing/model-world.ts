import assert from 'node:assert/strict';
import {
  hookEvents,
  type AgentEvent,
  type DesiredApplication,
  type DesiredPosition,
  type DesiredState,
  type RetireEntry,
} from '#api';
import { sha256, type Rng } from '#base';
import { ownerOf } from '../app.ts';
import { keptObjects } from '../corrections.ts';
import { runningHook } from '../hooks.ts';
import type { AppCommand, Command, Observation, Outcome, Signal } from '../messages.ts';
import type { AgentState, AppRecord, PlannedHook, PlannedObject, RetiredRecord } from '../model.ts';
import { nextWakeAt, reduce, restore } from '../reduce.ts';

/** A command that was begun and not answered yet. */
interface Running {
  readonly command: Command;
  /** The state in which it was decided: what it does is judged by that. */
  readonly decidedIn: AgentState;
  /** Its effect has taken place; the answer is on its way. */
  isDone: boolean;
  outcome?: Signal extends infer S ? (S extends Signal ? Omit<S, 'at' | 'random'> : never) : never;
}

const PLANE = 'plane-1';
const APPS = ['a', 'b', 'c'];

/**
 * A cluster, a disk and a plane made of maps, around the real reducer. Whatever the schedule, the failures and the
 * restarts, it asserts at every step what must never happen.
 */
export class ModelWorld {
  readonly #rng: Rng;
  now = 1_800_000_000_000;
  // The cluster: key → what it is and whose mark it carries.
  readonly objects = new Map<string, { readonly digest: string; readonly owner: string }>();
  // The disk.
  readonly disk: {
    held: { document: DesiredState; position: DesiredPosition } | undefined;
    records: Map<string, AppRecord>;
    retired: Map<string, RetiredRecord>;
    outbox: readonly AgentEvent[];
  } = { held: undefined, records: new Map(), retired: new Map(), outbox: [] };
  // The plane.
  document: DesiredState = emptyDocument();
  readonly bundles = new Map<string, readonly PlannedObject[]>();
  readonly hooks = new Map<string, readonly PlannedHook[]>();
  // What hooks made: key → of which run, and whether it has come to its end.
  readonly #made = new Map<string, { readonly mark: string; isDone: boolean }>();
  /** Hooks that ran for the content that is on its way, or came last, by application. */
  readonly #ran = new Map<string, { readonly content: string; readonly names: Set<string> }>();
  readonly taken: AgentEvent[] = [];
  // The agent.
  state: AgentState;
  running: Running[] = [];
  boots = 0;
  /** What the watches compare with, by application: what stands first; of two that name an object the last counts. Gone with the process. */
  #wants = new Map<string, ReadonlyMap<string, string>>();
  /** The bundle of which an application has applied something last. */
  readonly #inForce = new Map<string, string>();
  /** Hooks that never succeed, until somebody mends them. */
  readonly #broken = new Set<string>();
  /** Sequence of the document in which an application was last planned. */
  readonly #plannedAt = new Map<string, number>();
  failing = true;

  constructor(rng: Rng) {
    this.#rng = rng;
    this.state = this.#boot();
  }

  #boot(): AgentState {
    this.boots += 1;
    return restore({
      planeId: PLANE,
      cluster: 'c1',
      boot: `boot${this.boots}`,
      ...(this.disk.held === undefined ? {} : { held: this.disk.held }),
      records: [...this.disk.records.values()],
      retired: this.disk.retired,
      outbox: this.disk.outbox,
      gap: 0,
    });
  }

  /** Power off, power on: what was not on the disk is gone, effects that took place stay. */
  restart(): void {
    for (const one of this.running) if (!one.isDone && this.#chance(0.5)) this.#effect(one);
    this.running = [];
    this.#wants = new Map();
    this.state = this.#boot();
    this.post({ type: 'tick' });
  }

  post(signal: NonNullable<Running['outcome']>): void {
    const { state, commands } = reduce(this.state, { ...signal, at: this.now, random: this.#rng() });
    this.state = state;
    if (signal.type === 'outcome' && signal.outcome.type === 'planned') this.#plannedAt.set(signal.app, state.position?.seq ?? 0);
    for (const command of commands) {
      if (command.type === 'cancel') continue;
      if (command.type !== 'storeDocument') {
        const others = this.running.filter(
          (one) => one.command.type !== 'storeDocument' && 'app' in one.command && one.command.app === command.app,
        );
        assert.equal(
          others.length,
          0,
          `two commands at once for ${command.app}: ${others[0]?.command.type ?? ''} and ${command.type}`,
        );
      }
      this.running.push({ command, decidedIn: state, isDone: false });
    }
    this.#check();
  }

  /** The plane signs something else: other bundles, other applications, something retired or simply not named any more. */
  change(): void {
    const applications: DesiredApplication[] = [];
    const retire: RetireEntry[] = [];
    for (const name of APPS) {
      const before = this.document.applications.find((one) => one.name === name);
      const pending = this.document.retire.find((one) => one.application === name && !this.disk.retired.has(one.id));
      const roll = this.#rng();
      if (roll < 0.6) applications.push(this.#application(name, before));
      else if (before !== undefined && roll < 0.85) retire.push(this.#retirement(before));
      else if (pending !== undefined) retire.push(pending);
    }
    const { epoch, seq } = this.document;
    this.document = { ...this.document, epoch, seq: seq + 1, applications, retire };
  }

  #application(name: string, before: DesiredApplication | undefined): DesiredApplication {
    if (before !== undefined && this.#chance(0.3)) return before;
    // A small universe, so that objects move between applications.
    const keys = ['k1', 'k2', 'k3', 'k4', 'k5', 'k6'].filter(() => this.#chance(0.4));
    const objects = keys.map((key) => plannedObject(key, `${key}-v${Math.floor(this.#rng() * 3)}`));
    const hooks = this.#chance(0.5)
      ? []
      : ['h1', 'h2'].filter(() => this.#chance(0.6)).map((key) => this.#hook(`${name}-${key}`));
    const bundle = sha256(JSON.stringify([name, objects, hooks]));
    this.bundles.set(bundle, objects);
    this.hooks.set(bundle, hooks);
    const number = (before?.number ?? 0) + 1;
    return {
      project: 'p',
      name,
      uid: before?.uid ?? `${name}-${this.document.seq}`,
      release: `${name}-r${this.document.seq}-${number}`,
      number,
      commit: '',
      bundle,
      settings: this.#chance(0.2)
        ? { dependsOn: [{ name: APPS[(APPS.indexOf(name) + 1) % 2 === 0 ? 0 : 2] ?? 'c' }].filter((d) => d.name > name) }
        : {},
      limits: { namespaces: ['*'], clusterKinds: [], deniedKinds: [], maxDeletions: 100, maxDeletionPercent: 100 },
    };
  }

  #hook(name: string): PlannedHook {
    const events = hookEvents.filter(() => this.#chance(0.4));
    if (this.#chance(0.3)) this.#broken.add(`/ConfigMap/ns/${name}`);
    return { ...plannedObject(name, name), events, deletePolicies: ['hook-succeeded'], timeoutSeconds: 300 };
  }

  #retirement(before: DesiredApplication): RetireEntry {
    return {
      id: `retire-${before.name}-${this.document.seq}`,
      project: 'p',
      application: before.name,
      uid: before.uid,
      mode: this.#chance(0.5) ? 'Delete' : 'Orphan',
      reason: 'TargetExit',
      actor: 'someone',
      maxObjects: 100,
      maxDeletions: 100,
      maxDeletionPercent: 100,
      waived: false,
    };
  }

  /** The agent hears of the plane's newest document, if it holds an older one. */
  deliver(): void {
    if (this.state.incoming !== undefined || (this.state.position?.seq ?? -1) >= this.document.seq) return;
    const position = { epoch: this.document.epoch, seq: this.document.seq, digest: `d${this.document.seq}` };
    this.post({
      type: 'document',
      document: this.document,
      position,
      envelope: { payloadType: '', payload: '', signatures: [] },
    });
  }

  /** One running command has its effect, or answers. */
  step(): void {
    const one = this.running[Math.floor(this.#rng() * this.running.length)];
    if (one === undefined) return;
    if (!one.isDone) {
      this.#effect(one);
      return;
    }
    this.running = this.running.filter((other) => other !== one);
    if (one.outcome !== undefined) this.post(one.outcome);
    if (one.command.type === 'watch' && one.command.tells) this.relist();
  }

  /** Somebody changes or deletes an object behind our back; the watch tells. */
  drift(): void {
    const keys = [...this.objects.keys()];
    const key = keys[Math.floor(this.#rng() * keys.length)];
    if (key === undefined) return;
    const object = this.objects.get(key);
    if (object === undefined) return;
    const isGone = this.#chance(0.5);
    if (isGone) this.objects.delete(key);
    else this.objects.set(key, { ...object, digest: 'edited' });
    const drift = {
      kind: isGone ? ('deleted' as const) : ('changed' as const),
      fields: ['.data'],
      manager: 'kubectl-edit',
      at: '',
    };
    const watched = this.#watched().get(key);
    if (watched === undefined) return;
    this.post({ type: 'observed', app: watched.app, changes: [{ key, digest: watched.digest, drift, health: 'healthy' }] });
  }

  wait(ms: number): void {
    this.now += ms;
    this.post({ type: 'tick' });
  }

  /** No more faults, no more changes: everything comes to rest, or this fails. Hooks that fail go on failing. */
  rest(): void {
    this.failing = false;
    this.deliver();
    let conflicted = 0;
    for (let rounds = 0; rounds < 3000; rounds += 1) {
      if (this.running.length > 0) {
        this.step();
        continue;
      }
      this.deliver();
      // A watch sees everything in the end, also what happened while nobody watched.
      this.relist();
      if (this.running.length > 0) continue;
      const wake = nextWakeAt(this.state);
      if (wake === undefined) return;
      // Two that claim the same object go on asking: that is their rest.
      const blocked = [...this.state.apps.values()].filter((app) => app.step.at === 'blocked');
      const isHookRunning = [...this.state.apps.values()].some(
        (app) => app.step.at !== 'blocked' && runningHook(app) !== undefined,
      );
      conflicted =
        !isHookRunning &&
        blocked.every(
          ({ step }) => step.at === 'blocked' && /^FL_(CLAIM_\w+|HOLD_DEPENDENCY|HOOK_FAILED|HOLD_HOOK)$/.test(step.reason.code),
        )
          ? conflicted + 1
          : 0;
      if (conflicted > 12) return;
      this.wait(Math.max(1, wake - this.now));
    }
    assert.fail(
      `it does not come to rest: ${JSON.stringify([...this.state.apps.values()].map((app) => [app.name, app.step, app.busy]))}`,
    );
  }

  /** Somebody mends the hooks that fail and asks for them once more; then everything comes to rest. */
  settle(): void {
    this.rest();
    this.#broken.clear();
    const { document } = this;
    const nudge = `mended ${document.seq}`;
    this.document = {
      ...document,
      seq: document.seq + 1,
      applications: document.applications.map((one) => ({ ...one, nudge })),
      retire: document.retire.map((one) => ({ ...one, waived: true })),
    };
    this.rest();
  }

  /**
   * Applications whose release has applied nothing yet, and what of their last one must be as it was: all that no other application
   * lists or holds.
   */
  standing(): { readonly app: string; readonly objects: readonly PlannedObject[] }[] {
    return this.document.applications.flatMap((wanted) => {
      const key = `p/${wanted.name}`;
      const record = this.disk.records.get(key);
      const bundle = record?.applied?.bundle;
      const isWaiting = this.state.apps.get(key)?.step.at === 'blocked';
      if (bundle === undefined || bundle === wanted.bundle || record?.applying !== undefined || !isWaiting) return [];
      const isElsewhere = (object: string): boolean =>
        this.document.applications.some(
          (other) => other.name !== wanted.name && this.bundles.get(other.bundle)?.some((one) => one.key === object),
        ) || [...this.disk.records].some(([other, one]) => other !== key && one.inventory.has(object));
      const objects = (this.bundles.get(bundle) ?? []).filter((one) => record?.inventory.has(one.key) && !isElsewhere(one.key));
      return [{ app: wanted.name, objects }];
    });
  }

  #watched(): Map<string, { readonly app: string; readonly digest: string }> {
    return new Map([...this.#wants].flatMap(([app, objects]) => [...objects].map(([key, digest]) => [key, { app, digest }])));
  }

  /** The watches tell of everything that is not as it should be. */
  relist(): void {
    const changes = new Map<string, Observation[]>();
    for (const [key, { app, digest }] of this.#watched()) {
      const state = this.state.apps.get(app);
      const one = state === undefined ? undefined : keptObjects(state).get(key);
      if (state === undefined || one === undefined || one.object.digest !== digest) continue;
      const live = this.objects.get(key);
      const isSame = live?.owner === state.owner && live.digest === digest;
      if (isSame || one.status !== 'applied' || one.drift !== undefined) continue;
      const kind = live === undefined ? ('deleted' as const) : ('changed' as const);
      const drift = { kind, fields: ['.data'], manager: '', at: '' };
      changes.set(app, [...(changes.get(app) ?? []), { key, digest, drift, health: 'healthy' }]);
    }
    for (const [app, list] of changes) this.post({ type: 'observed', app, changes: list });
  }

  #effect(one: Running): void {
    one.isDone = true;
    const { command } = one;
    if (command.type === 'storeDocument') {
      this.disk.held = {
        document: command.document,
        position: this.state.incoming?.position ?? { epoch: 0, seq: 0, digest: '' },
      };
      one.outcome = { type: 'documentStored' };
      return;
    }
    if (command.type === 'cancel') return;
    one.outcome = { type: 'outcome', app: command.app, outcome: this.#perform(command, one.decidedIn) };
  }

  #perform(command: AppCommand, decidedIn: AgentState): Outcome {
    const isFailing = this.failing && this.#chance(0.15);
    const words = { code: 'FL_APPLY_UNAVAILABLE', args: {}, since: '' } as const;
    const owner = ownerOf(PLANE, ...(command.app.split('/') as [string, string]));
    switch (command.type) {
      case 'fetch':
        return isFailing ? { type: 'failed', reason: words } : { type: 'fetched' };
      case 'plan':
        if (isFailing) return { type: 'failed', reason: words };
        return {
          type: 'planned',
          objects: this.bundles.get(command.wanted.bundle) ?? [],
          hooks: this.hooks.get(command.wanted.bundle) ?? [],
          isTakeover: false,
          unresolved: [],
          refused: [],
        };
      case 'watch':
        this.#wants.delete(command.app);
        this.#wants = new Map([
          ...(command.isStanding ? [] : this.#wants),
          [command.app, new Map(command.objects.map(({ key, digest }) => [key, digest]))],
          ...(command.isStanding ? this.#wants : []),
        ]);
        return { type: 'watching' };
      case 'store': {
        if (command.record === undefined) {
          this.disk.records.delete(command.app);
          this.#wants.delete(command.app);
        } else this.#storeRecord(command.app, owner, command.record);
        if (command.retired !== undefined) this.disk.retired.set(command.retired.id, command.retired.record);
        this.disk.outbox = [...this.disk.outbox, ...command.events];
        return { type: 'stored' };
      }
      case 'apply':
        this.#judgeBundle(command);
        return {
          type: 'applied',
          results: command.objects.map((object) => {
            if (isFailing && this.#chance(0.5)) return { key: object.key, result: 'failed', reason: words, retry: 'soon' };
            // Nothing may come to exist that is not in the durable inventory.
            assert.ok(
              this.disk.records.get(command.app)?.inventory.has(object.key),
              `${object.key} is applied before it is in the inventory`,
            );
            const live = this.objects.get(object.key);
            const other = [...decidedIn.apps.values()].find((app) => app.owner === live?.owner && app.owner !== owner);
            const isListed =
              other?.wanted !== undefined &&
              other.record?.inventory.has(object.key) === true &&
              this.bundles.get(other.wanted.bundle)?.some((one) => one.key === object.key) === true;
            // Two that list it in turn, document by document, may overtake each other; the one that planned last has it.
            const isCurrent = this.#plannedAt.get(command.app) === decidedIn.position?.seq;
            assert.ok(!isListed || !isCurrent, `${object.key} is taken from an application that lists it`);
            const isSame = live?.owner === owner && live.digest === object.digest;
            this.objects.set(object.key, { digest: object.digest, owner });
            return {
              key: object.key,
              result: isSame ? 'unchanged' : live === undefined ? 'created' : 'configured',
              health: 'healthy',
            };
          }),
        };
      case 'hook':
        return this.#runHook(command);
      case 'windUpHelm':
        assert.ok(this.disk.records.get(command.app)?.helm === 'unchecked', 'what a restart would not repeat');
        return isFailing ? { type: 'failed', reason: words } : { type: 'woundUp', releases: [] };
      case 'clearHooks':
        for (const { hook, mark } of command.hooks) {
          const made = this.#made.get(hook.key);
          assert.ok(made?.mark !== mark || made.isDone, `${hook.key} is cleared while it runs`);
          if (made?.mark === mark) this.#made.delete(hook.key);
        }
        return { type: 'cleared' };
      case 'remove':
        return {
          type: 'removed',
          results: command.objects.map(({ key }) => {
            const live = this.objects.get(key);
            assert.ok(this.disk.records.get(command.app)?.inventory.has(key), `${key} is removed and is not in the inventory`);
            if (live === undefined || live.owner !== owner) return { key, result: 'gone' };
            if (isFailing) return { key, result: 'failed', reason: words };
            if (command.mode === 'orphan') this.objects.set(key, { ...live, owner: '' });
            else {
              const wantedBy = decidedIn.document?.applications.find((app) =>
                this.bundles.get(app.bundle)?.some((o) => o.key === key),
              );
              assert.ok(wantedBy === undefined, `${key} is deleted although ${wantedBy?.name ?? ''} wants it`);
              this.objects.delete(key);
            }
            return { key, result: command.mode === 'orphan' ? 'released' : 'deleted' };
          }),
        };
    }
  }

  /** A correction puts back what was applied last, and nothing of before or of what is yet to come; what comes says so durably. */
  #judgeBundle({ app, wanted, isCorrection }: Extract<AppCommand, { type: 'apply' }>): void {
    if (isCorrection) {
      assert.equal(wanted.bundle, this.#inForce.get(app), `${app} is corrected to what is not in force`);
      return;
    }
    const record = this.disk.records.get(app);
    const isInForce = record?.applied === undefined || (record.applied.bundle === wanted.bundle && record.applying === undefined);
    assert.ok(isInForce || record.applying === wanted.bundle, `${app} begins with a bundle of which the record does not tell`);
    this.#inForce.set(app, wanted.bundle);
  }

  #runHook(command: Extract<AppCommand, { type: 'hook' }>): Outcome {
    const name = `${command.event} ${command.hook.key}`;
    const made = this.#made.get(command.hook.key);
    if (made?.mark === command.mark) {
      made.isDone ||= this.#chance(0.5);
      if (made.isDone && this.#broken.has(command.hook.key)) return { type: 'hooked', state: 'failed', words: 'it is broken' };
      return made.isDone
        ? { type: 'hooked', state: 'succeeded' }
        : { type: 'hooked', state: 'running', uid: `uid-${command.mark}` };
    }
    if (made !== undefined) {
      this.#made.delete(command.hook.key);
      return { type: 'hooked', state: 'running', uid: undefined };
    }
    const run = this.disk.records.get(command.app)?.hooks;
    assert.equal(run?.current?.name, name, 'a hook is made before it is in the durable record');
    assert.equal(command.uid, undefined, `${name} is made although it was there before`);
    const ran = this.#ran.get(command.app);
    assert.ok(ran === undefined || !ran.names.has(name), `${name} of ${command.app} runs twice for the same content`);
    ran?.names.add(name);
    this.#made.set(command.hook.key, { mark: command.mark, isDone: false });
    return { type: 'hooked', state: 'running', uid: `uid-${command.mark}` };
  }

  /** A content that comes after another one has hooks of its own to run, also if it was there before. */
  #noteContent(app: string, content: string | undefined): void {
    if (content === undefined || this.#ran.get(app)?.content === content) return;
    this.#ran.set(app, { content, names: new Set() });
  }

  #storeRecord(app: string, owner: string, record: AppRecord): void {
    const before = this.disk.records.get(app);
    this.disk.records.set(app, record);
    const { applied } = record;
    this.#noteContent(app, record.hooks?.content);
    if (record.applying !== before?.applying) this.#noteContent(app, record.applying);
    // A person asked for those of one event once more.
    const run = record.hooks;
    if (run !== undefined && run.content === before?.hooks?.content && run.id !== before.hooks.id)
      this.#ran.set(app, { content: run.content, names: new Set(run.done) });
    if (applied !== undefined && applied.bundle !== before?.applied?.bundle) {
      this.#noteContent(app, applied.bundle);
      const action = before?.applied === undefined ? 'install' : 'upgrade';
      for (const hook of this.hooks.get(applied.bundle) ?? [])
        for (const event of hook.events)
          if (event.endsWith(`-${action}`))
            assert.ok(this.#ran.get(app)?.names.has(`${event} ${hook.key}`), `${event} ${hook.key} of ${app} did not run`);
    }
    if (applied === undefined || applied.release === before?.applied?.release) return;
    // What becomes durable as applied is so, but for what others did to it, and nothing of before is left in our name.
    for (const [key, live] of this.objects) if (live.owner === owner) assert.ok(record.inventory.has(key), `${key} is forgotten`);
  }

  #check(): void {
    // Every object that carries our mark is in somebody's durable inventory.
    for (const [key, live] of this.objects) {
      if (live.owner === '') continue;
      const holder = [...this.disk.records].find(
        ([app]) => ownerOf(PLANE, ...(app.split('/') as [string, string])) === live.owner,
      );
      assert.ok(holder?.[1].inventory.has(key), `${key} is marked and in no inventory`);
    }
    // Nobody is told that something is applied which is not durable.
    for (const event of this.state.outbox) {
      if (event.reason.code !== 'FL_APPLIED') continue;
      assert.ok(
        this.disk.outbox.some((one) => one.id === event.id) || this.taken.some((one) => one.id === event.id),
        'an event is said before it is durable',
      );
    }
  }

  /** What is written without hurry: as the housekeeping of a session does it. */
  flush(): void {
    const pending = [...this.state.apps.values()].flatMap((app) => app.pendingEvents ?? []);
    const durable = this.disk.outbox.filter((event) => pending.some((one) => one.id === event.id));
    this.disk.outbox = [...this.state.outbox, ...durable.filter((event) => !this.state.outbox.includes(event))];
  }

  /** The plane takes the events. */
  report(): void {
    const ids = this.state.outbox.map((event) => event.id);
    this.taken.push(...this.state.outbox);
    this.post({ type: 'reported', events: ids, gap: 0 });
  }

  #chance(p: number): boolean {
    return this.#rng() < p;
  }
}

function plannedObject(name: string, digest: string): PlannedObject {
  return {
    key: `/ConfigMap/ns/${name}`,
    id: { group: '', version: 'v1', kind: 'ConfigMap', namespace: 'ns', name },
    digest,
    stage: 'config',
    wave: 0,
    isSealed: false,
    isKept: false,
    isCreateOnly: false,
  };
}

function emptyDocument(): DesiredState {
  return {
    planeId: PLANE,
    cluster: 'c1',
    kubeSystemUid: 'uid',
    epoch: 1,
    seq: 0,
    keySetVersion: 1,
    crit: [],
    issuedAt: '',
    labels: {},
    deletionsPaused: false,
    applications: [],
    retire: [],
    approvals: [],
  };
}
