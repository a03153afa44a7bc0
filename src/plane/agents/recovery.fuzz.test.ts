import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  API_VERSION,
  comparePositions,
  deliveryName,
  type Cluster,
  type Delivery,
  type DesiredPosition,
  type DesiredState,
  type DesiredStateRow,
  type Project,
  type Release,
} from '#api';
import { composeContent, contentDigest, issue } from './desired-state.ts';
import { isAhead, standingOf } from './positions.ts';
import { adopt } from './recovery.ts';

/**
 * A model: a plane with two applications on two clusters that publishes, is backed up and restored to any earlier point, and
 * agents that fetch, apply and prune by their own rules. Whatever the schedule: no applied number of an agent ever goes
 * back, nothing is deleted while deletions are paused, and after a person confirms, agents hold what the plane wants.
 */
const clusters = ['dev', 'prod'] as const;
const applications = ['api', 'web'] as const;
type App = (typeof applications)[number];

interface PlaneState {
  /** Highest number by application. */
  readonly numbers: Readonly<Record<App, number>>;
  readonly releases: ReadonlyMap<string, Release>;
  readonly deliveries: ReadonlyMap<string, Delivery>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly rows: ReadonlyMap<string, DesiredStateRow['spec']>;
  /** Digests that this history has issued or adopted. */
  readonly known: ReadonlySet<string>;
}

interface Agent {
  held: { position: DesiredPosition; document: DesiredState; envelope: DesiredStateRow['spec']['envelope'] } | undefined;
  /** Objects by application: what the bundle named. */
  readonly applied: Map<string, { number: number; bundle: string; objects: ReadonlySet<string> }>;
}

const signer = { keyId: 'ed25519:model', publicKey: '', sign: () => Buffer.from('model') };
const at = '2026-01-01T00:00:00Z';
const metadata = (name: string, namespace?: string) => ({
  name,
  ...(namespace === undefined ? {} : { namespace }),
  uid: `uid-${name}`,
  generation: 1,
  creationTimestamp: at,
});
const project: Project = {
  apiVersion: API_VERSION,
  kind: 'Project',
  metadata: metadata('default'),
  spec: { clusterSelector: {}, serviceAccount: { agentIdentity: true } },
};

type Command =
  | { readonly do: 'release'; readonly app: App; readonly objects: readonly string[] }
  | { readonly do: 'retire'; readonly app: App; readonly cluster: string }
  | { readonly do: 'sync'; readonly cluster: string }
  | { readonly do: 'backup' }
  | { readonly do: 'restore'; readonly which: number }
  | { readonly do: 'confirm'; readonly cluster: string };

const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('release' as const),
      app: fc.constantFrom(...applications),
      objects: fc.subarray(['a', 'b', 'c', 'd']),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('retire' as const),
      app: fc.constantFrom(...applications),
      cluster: fc.constantFrom(...clusters),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('sync' as const), cluster: fc.constantFrom(...clusters) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('backup' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restore' as const), which: fc.nat({ max: 20 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('confirm' as const), cluster: fc.constantFrom(...clusters) }) },
);

class Model {
  plane: PlaneState = {
    numbers: { api: 0, web: 0 },
    releases: new Map(),
    deliveries: new Map(),
    clusters: new Map(
      clusters.map((name) => [name, { apiVersion: API_VERSION, kind: 'Cluster', metadata: metadata(name), spec: {} }]),
    ),
    rows: new Map(),
    known: new Set(),
  };
  readonly backups: PlaneState[] = [this.plane];
  readonly agents = new Map<string, Agent>(clusters.map((name) => [name, { held: undefined, applied: new Map() }]));
  /** Which of several histories this is: other content under the same number. */
  history = 0;

  run(command: Command): void {
    switch (command.do) {
      case 'release':
        return this.release(command.app, command.objects);
      case 'retire':
        return this.retire(command.app, command.cluster);
      case 'sync':
        return this.sync(command.cluster);
      case 'backup':
        this.backups.push(this.plane);
        return;
      case 'restore':
        this.plane = this.backups[command.which % this.backups.length] ?? this.plane;
        this.history += 1;
        return;
      case 'confirm':
        return this.confirm(command.cluster);
    }
  }

  /** What the applications and rollouts rooms do: the next number is above everything any Delivery wants. */
  release(app: App, objects: readonly string[]): void {
    const deliveries = new Map(this.plane.deliveries);
    const wanted = [...deliveries.values()]
      .filter((one) => one.spec.application === app)
      .map((one) => one.spec.wanted?.number ?? 0);
    const number = Math.max(this.plane.numbers[app], ...wanted) + 1;
    const bundle = `${this.history}:${number}:${objects.join(',')}`;
    const name = `${app}.${number}`;
    const releases = new Map(this.plane.releases).set(`default/${name}`, {
      apiVersion: API_VERSION,
      kind: 'Release',
      metadata: metadata(name, 'default'),
      spec: {
        application: app,
        applicationUid: `uid-${app}`,
        applicationGeneration: 1,
        number,
        source: { kind: 'GitRepository', name: 'fleet', commit: `${number}`, committedAt: at },
        rendererVersion: '1',
        settings: {},
        settingsDigest: 's',
        bundles: [{ digest: bundle, objects: objects.length, clusters: [...clusters] }],
        renderedAt: at,
      },
    } satisfies Release);
    for (const cluster of clusters) {
      const key = deliveryName(app, cluster);
      const { retire: _gone, ...spec } = deliveries.get(key)?.spec ?? { application: app, cluster };
      deliveries.set(key, {
        apiVersion: API_VERSION,
        kind: 'Delivery',
        metadata: metadata(key, 'default'),
        spec: { ...spec, wanted: { release: name, number, bundle, settings: 's', assignedAt: at } },
      });
    }
    this.plane = { ...this.plane, numbers: { ...this.plane.numbers, [app]: number }, releases, deliveries };
    for (const cluster of clusters) this.publish(cluster);
  }

  retire(app: App, cluster: string): void {
    const key = deliveryName(app, cluster);
    const delivery = this.plane.deliveries.get(key);
    if (delivery === undefined) return;
    const retire = { id: `r-${this.history}-${key}`, mode: 'Delete', reason: 'TargetExit', actor: 'a', at } as const;
    const deliveries = new Map(this.plane.deliveries).set(key, { ...delivery, spec: { ...delivery.spec, retire } });
    this.plane = { ...this.plane, deliveries };
    this.publish(cluster);
  }

  confirm(name: string): void {
    const cluster = this.plane.clusters.get(name);
    if (cluster?.status?.recovery === undefined) return;
    const { recovery: _done, ...status } = cluster.status;
    this.plane = { ...this.plane, clusters: new Map(this.plane.clusters).set(name, { ...cluster, status }) };
    this.publish(name);
  }

  deliveriesOf(cluster: string): Delivery[] {
    return [...this.plane.deliveries.values()].filter((one) => one.spec.cluster === cluster);
  }

  compose(name: string, previous: readonly DesiredState[]): ReturnType<typeof composeContent> {
    const cluster = this.plane.clusters.get(name);
    assert.ok(cluster);
    return composeContent({
      planeId: 'plane',
      keySetVersion: 1,
      cluster,
      kubeSystemUid: `uid-${name}`,
      deliveries: this.deliveriesOf(name),
      releases: this.plane.releases,
      projects: new Map([['default', project]]),
      nudges: new Map(),
      previous,
    });
  }

  publish(name: string, adopted?: { held: DesiredPosition; proven: DesiredState }): void {
    const row = this.plane.rows.get(name);
    const own = row === undefined ? [] : [documentOf(row)];
    const content = this.compose(name, adopted === undefined ? own : [adopted.proven, ...own]);
    if (adopted === undefined && row?.content === contentDigest(content)) return;
    const next = issue({
      content,
      issued: row,
      signers: [signer],
      now: at,
      ...(adopted === undefined ? {} : { adopted: adopted.held }),
    });
    const known = new Set([...this.plane.known, next.position.digest, ...(adopted === undefined ? [] : [adopted.held.digest])]);
    this.plane = { ...this.plane, rows: new Map(this.plane.rows).set(name, next), known };
  }

  sync(name: string): void {
    const agent = this.agents.get(name);
    assert.ok(agent);
    const row = this.plane.rows.get(name);
    const held = agent.held?.position;
    const standing = standingOf(row, held);
    if (standing === 'current') {
      this.report(agent, name);
      return;
    }
    const isForeign = held !== undefined && !this.plane.known.has(held.digest) && standing !== 'unsure';
    if ((standing === 'foreign' || standing === 'unsure') && agent.held !== undefined && held !== undefined) {
      const proven = agent.held.document;
      const wanted = new Map(
        this.deliveriesOf(name).map((one) => [
          `default/${one.spec.application}`,
          { number: one.spec.wanted?.number ?? 0, bundle: one.spec.wanted?.bundle ?? '' },
        ]),
      );
      if (standing === 'foreign' || isAhead(proven, wanted)) {
        const cluster = this.plane.clusters.get(name);
        assert.ok(cluster);
        const adoption = adopt({ cluster, deliveries: this.deliveriesOf(name), proven, held, now: at, newUid: () => 'uid' });
        const deliveries = new Map(this.plane.deliveries);
        for (const one of adoption.changed) deliveries.set(one.metadata.name, one);
        this.plane = { ...this.plane, deliveries, clusters: new Map(this.plane.clusters).set(name, adoption.cluster) };
        this.publish(name, { held, proven });
      }
    }
    const newest = this.plane.rows.get(name);
    if (newest === undefined) return;
    if (isForeign) assert.equal(documentOf(newest).deletionsPaused, true, 'what comes after another history deletes nothing');
    this.take(agent, newest, name);
  }

  /** The agent's own rules. */
  take(agent: Agent, row: DesiredStateRow['spec'], name: string): void {
    const document = documentOf(row);
    if (agent.held !== undefined) {
      assert.equal(comparePositions(row.position, agent.held.position), 1, 'an agent is offered only what is newer');
    }
    agent.held = { position: row.position, document, envelope: row.envelope };
    for (const application of document.applications) {
      const before = agent.applied.get(application.name);
      if (before !== undefined) assert.ok(application.number >= before.number, `${application.name} went back on ${name}`);
      const wanted = new Set(application.bundle.split(':')[2]?.split(',') ?? []);
      const kept = document.deletionsPaused ? [...(before?.objects ?? [])] : [];
      agent.applied.set(application.name, {
        number: application.number,
        bundle: application.bundle,
        objects: new Set([...wanted, ...kept]),
      });
    }
    for (const entry of document.retire) {
      const before = agent.applied.get(entry.application);
      // It is on its way out: an application of that name that comes later counts from the beginning.
      if (document.deletionsPaused && entry.mode === 'Delete' && before !== undefined)
        agent.applied.set(entry.application, { ...before, number: 0 });
      else agent.applied.delete(entry.application);
    }
    this.report(agent, name);
  }

  /** What is retired is told for as long as the document names it: a plane that forgot what it was told hears it again. */
  report(agent: Agent, name: string): void {
    const { document } = agent.held ?? {};
    const deliveries = new Map(this.plane.deliveries);
    for (const entry of document?.retire ?? []) {
      if (document?.deletionsPaused === true && entry.mode === 'Delete') continue;
      const key = deliveryName(entry.application, name);
      if (deliveries.get(key)?.spec.retire?.id === entry.id) deliveries.delete(key);
    }
    this.plane = { ...this.plane, deliveries };
    this.publish(name);
  }

  objects(): Map<string, ReadonlySet<string>> {
    return new Map(
      [...this.agents].flatMap(([name, agent]) =>
        [...agent.applied].map(([app, one]) => [`${name}/${app}`, one.objects] as const),
      ),
    );
  }
}

function documentOf(row: DesiredStateRow['spec']): DesiredState {
  return JSON.parse(Buffer.from(row.envelope.payload, 'base64').toString('utf8')) as DesiredState;
}

function check(commands: readonly Command[]): { recoveries: number } {
  const model = new Model();
  let recoveries = 0;
  for (const command of commands) {
    const before = model.objects();
    model.run(command);
    if (command.do !== 'sync') continue;
    const paused = model.plane.clusters.get(command.cluster)?.status?.recovery !== undefined;
    if (!paused) continue;
    recoveries += 1;
    for (const [key, objects] of before) {
      if (!key.startsWith(`${command.cluster}/`)) continue;
      const now = model.objects().get(key);
      for (const object of objects) assert.ok(now?.has(object), `${object} of ${key} was deleted during recovery`);
    }
  }
  // People confirm, agents come: everything converges to what the plane wants.
  for (let round = 0; round < 3; round++) {
    for (const name of clusters) {
      model.sync(name);
      model.confirm(name);
      model.sync(name);
    }
  }
  for (const name of clusters) {
    const agent = model.agents.get(name);
    const row = model.plane.rows.get(name);
    assert.equal(agent?.held?.position.digest, row?.position.digest, `${name} holds the newest`);
    assert.equal(agent?.held?.document.deletionsPaused ?? false, false);
    for (const delivery of model.deliveriesOf(name)) {
      assert.equal(delivery.spec.retire, undefined);
      assert.equal(agent?.applied.get(delivery.spec.application)?.bundle, delivery.spec.wanted?.bundle);
      assert.deepEqual(
        [...(agent?.applied.get(delivery.spec.application)?.objects ?? [])],
        delivery.spec.wanted?.bundle.split(':')[2]?.split(','),
      );
    }
  }
  return { recoveries };
}

/** Found by the property: the agent told of the removal, and the plane that heard it was replaced by its backup. */
const toldBeforeTheRestore: Command[] = [
  { do: 'release', app: 'web', objects: [] },
  { do: 'retire', app: 'web', cluster: 'dev' },
  { do: 'backup' },
  { do: 'sync', cluster: 'dev' },
  { do: 'restore', which: 1 },
];

test('a plane restored to any earlier point rolls nothing back, deletes nothing while paused, and converges', () => {
  let recoveries = 0;
  fc.assert(
    fc.property(fc.array(anyCommand, { minLength: 5, maxLength: 40 }), (commands) => {
      recoveries += check(commands).recoveries;
    }),
    { numRuns: Number(process.env['FUZZ_RUNS'] ?? 250), examples: [[toldBeforeTheRestore]] },
  );
  assert.ok(recoveries > 50, `the schedules reached recovery ${recoveries} times`);
});

test('another history under the same numbers is seen, not taken for ours', () => {
  check([
    { do: 'release', app: 'web', objects: ['a'] },
    { do: 'sync', cluster: 'prod' },
    { do: 'backup' },
    { do: 'release', app: 'web', objects: ['a', 'b'] },
    { do: 'sync', cluster: 'prod' },
    { do: 'restore', which: 1 },
    { do: 'release', app: 'web', objects: ['c'] },
    { do: 'release', app: 'web', objects: ['d'] },
    { do: 'sync', cluster: 'prod' },
  ]);
});

test('an agent away for longer than the plane remembers is judged by what it proves', () => {
  const many = Array.from({ length: 40 }, (_, index): Command => ({ do: 'release', app: 'web', objects: [`${index}`] }));
  const away: Command[] = [{ do: 'release', app: 'web', objects: ['a'] }, { do: 'sync', cluster: 'prod' }, ...many];
  assert.equal(check([...away, { do: 'sync', cluster: 'prod' }]).recoveries, 0);
  const ahead: Command[] = [
    { do: 'release', app: 'web', objects: ['a'] },
    { do: 'backup' },
    ...many.slice(0, 5),
    { do: 'sync', cluster: 'prod' },
    { do: 'restore', which: 1 },
  ];
  const meanwhile: Command[] = many.map(() => ({ do: 'release', app: 'api', objects: [] }));
  assert.equal(check([...ahead, ...meanwhile, { do: 'sync', cluster: 'prod' }]).recoveries, 1);
});
