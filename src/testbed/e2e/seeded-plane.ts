import { mkdtemp, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  allKinds,
  Application,
  Cluster,
  Delivery,
  deliveryName,
  Event,
  Release,
  releaseName,
  say,
  type Condition,
  type Kind,
  type PlaneObject,
  type ReasonCode,
} from '#api';
import { newUid, silentLog, systemClock, waitFor } from '#base';
import { openKeys } from '#plane/keys';
import { openStore, type Write } from '#plane/store';
import { startChild, tailOf, type Child } from '../demo/child.ts';
import { freePort } from '../demo/free-port.ts';

const root = resolve(import.meta.dirname, '..', '..', '..');
const CHUNK = 1_000;
const regions = [
  'eu-west-1',
  'eu-central-1',
  'us-east-1',
  'us-west-2',
  'ap-south-1',
  'ap-northeast-1',
  'sa-east-1',
  'af-south-1',
];

export interface SeededSize {
  readonly clusters: number;
  readonly applications: number;
  /** Names are made this long. */
  readonly nameLengths?: { readonly cluster: number; readonly application: number };
}

/**
 * A real plane process over a database that is filled with a fleet of any size, for what only size shows. It is frozen (its
 * keys were bound to another database), so that no controller touches what is there: everything that reads works.
 */
export class SeededPlane implements AsyncDisposable {
  readonly consoleUrl: string;
  readonly token: string;
  readonly plane: Child;
  readonly seededMs: number;
  readonly startedMs: number;
  readonly #dir: string;

  private constructor(parts: { url: string; token: string; plane: Child; dir: string; seededMs: number; startedMs: number }) {
    this.consoleUrl = parts.url;
    this.token = parts.token;
    this.plane = parts.plane;
    this.#dir = parts.dir;
    this.seededMs = parts.seededMs;
    this.startedMs = parts.startedMs;
  }

  static async start(size: SeededSize): Promise<SeededPlane> {
    const dir = await mkdtemp(join(tmpdir(), 'fairlead-seeded-'));
    const data = join(dir, 'plane');
    const from = performance.now();
    const keys = await openKeys({ dir: join(data, 'keys'), clock: systemClock });
    keys.bind('another-database');
    await seed(join(data, 'store'), size);
    const seededMs = performance.now() - from;
    const ports = [await freePort(0), await freePort(0)] as const;
    const plane = startChild(
      [
        join(root, 'src/cli/main.ts'),
        'plane',
        '--data',
        data,
        '--listen',
        `127.0.0.1:${ports[0]}`,
        '--console',
        `127.0.0.1:${ports[1]}`,
      ],
      join(dir, 'plane.log'),
    );
    const url = `http://127.0.0.1:${ports[1]}`;
    const startFrom = performance.now();
    try {
      await waitFor(
        'the seeded plane to have read its fleet',
        async () => {
          if (!plane.isRunning()) throw new Error(`the plane ended: ${tailOf(plane.log)}`);
          const response = await fetch(`${url}/readyz`);
          return response.status === 200 ? true : undefined;
        },
        { timeoutMs: 180_000, intervalMs: 50 },
      );
      const token = readFileSync(join(data, 'keys', 'admin-token'), 'utf8').trim();
      return new SeededPlane({ url, token, plane, dir, seededMs, startedMs: performance.now() - startFrom });
    } catch (error) {
      await plane.stop(2000);
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** One view, with the time until its last byte and its size. */
  async view(path: string): Promise<{ readonly ms: number; readonly bytes: number; readonly status: number }> {
    const from = performance.now();
    const response = await fetch(`${this.consoleUrl}/views/v1/${path}`, { headers: { authorization: `Bearer ${this.token}` } });
    const { byteLength } = await response.arrayBuffer();
    return { ms: performance.now() - from, bytes: byteLength, status: response.status };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plane.stop(5000);
    await rm(this.#dir, { recursive: true, force: true });
  }
}

async function seed(
  dir: string,
  { clusters, applications, nameLengths = { cluster: 0, application: 0 } }: SeededSize,
): Promise<void> {
  const store = await openStore({ dir, kinds: allKinds, log: silentLog, clock: systemClock });
  let chunk: Write[] = [];
  const flush = async (): Promise<void> => {
    const result = await store.commit({ write: chunk });
    if (!result.ok) throw new Error('the seed was refused');
    chunk = [];
  };
  const put = async (kind: Kind, made: PlaneObject): Promise<void> => {
    chunk.push({ op: 'put', kind, object: made });
    if (chunk.length >= CHUNK) await flush();
  };
  const names = Array.from({ length: clusters }, (_, n) =>
    `${regions[n % regions.length]}-${String(n).padStart(4, '0')}`.padEnd(nameLengths.cluster, 'x'),
  );
  const apps = Array.from({ length: applications }, (_, n) =>
    `app-${String(n).padStart(3, '0')}`.padEnd(nameLengths.application, 'y'),
  );
  for (const [n, name] of names.entries()) await put(Cluster, clusterOf(name, n));
  for (const [n, name] of apps.entries()) {
    await put(Application, applicationOf(name, n));
    await put(Release, releaseOf(name, n, names));
  }
  let number = 0;
  for (const [place, cluster] of names.entries()) {
    for (const application of apps) {
      const [code, args] = verdictOf(place, number, application, cluster);
      await put(Delivery, deliveryOf(application, cluster, number, code, args));
      if (code !== 'FL_READY' && code !== 'FL_CONTACT_LOST') await put(Event, eventOf(application, cluster, number, code, args));
      number += 1;
    }
  }
  await flush();
  await store.close();
}

type Verdict = readonly [ReasonCode, Readonly<Record<string, unknown>>];

/** One cluster in 97 is out of contact; of the others one delivery in 240 has something to say. */
function verdictOf(place: number, number: number, application: string, cluster: string): Verdict {
  if (place % 97 === 96) return ['FL_CONTACT_LOST', { cluster, since: '12 minutes ago' }];
  const object = `Deployment default/${application}`;
  switch (number % 240) {
    case 7:
      return [
        'FL_HEALTH_CRASH_LOOP',
        { object, cluster, pod: `${application}-5f9c`, container: 'main', restarts: 7, words: 'exit 1' },
      ];
    case 99:
      return number % 720 === 99
        ? ['FL_DRIFT_FOUND', { object, cluster, fields: '.spec.replicas', manager: 'kubectl-edit', at: at(number) }]
        : ['FL_READY', { release: releaseName(application, 3) }];
    case 171:
      return number % 480 === 171
        ? ['FL_APPLYING', { release: releaseName(application, 3), cluster, applied: 3, total: 12, stage: 'workloads' }]
        : ['FL_READY', { release: releaseName(application, 3) }];
    default:
      return ['FL_READY', { release: releaseName(application, 3) }];
  }
}

/** Moments of the last two days, a different one for each. */
function at(number: number): string {
  return new Date(Date.now() - 60_000 - ((number * 7_919) % 172_800) * 1000).toISOString();
}

function object(
  kind: Kind,
  name: string,
  parts: Pick<PlaneObject, 'spec' | 'status'> & { namespace?: string; labels?: Record<string, string> },
): PlaneObject {
  const { namespace, labels, ...rest } = parts;
  return {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      uid: newUid(),
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    ...rest,
  };
}

function ready(code: ReasonCode, args: Readonly<Record<string, unknown>>, since: string, isReady: boolean): Condition[] {
  return [
    { type: 'Ready', status: isReady ? 'True' : 'False', reason: code, message: say({ code, args }), lastTransitionTime: since },
  ];
}

function clusterOf(name: string, n: number): PlaneObject {
  const isLost = n % 97 === 96;
  const code = isLost ? 'FL_CONTACT_LOST' : 'FL_CLUSTER_READY';
  return object(Cluster, name, {
    labels: {
      env: n % 10 === 0 ? 'dev' : n % 10 < 3 ? 'staging' : 'prod',
      region: regions[n % regions.length] ?? '',
      tier: n % 4 === 0 ? 'edge' : 'core',
    },
    spec: {},
    status: {
      agent: { version: '0.1.0', capability: 1, joinedAt: '2026-01-01T00:00:00Z', keyId: `key-${n}` },
      facts: { kubernetesVersion: 'v1.34.2', nodes: String(3 + (n % 20)) },
      conditions: ready(code, { cluster: name, since: '12 minutes ago', ready: 100, total: 100 }, at(n), !isLost),
    },
  });
}

function applicationOf(name: string, n: number): PlaneObject {
  return object(Application, name, {
    namespace: 'default',
    labels: { team: `team-${n % 9}` },
    spec: { source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: name }, targets: [{ clusterSelector: {} }] },
    status: {
      commit: commitOf(n),
      release: { name: releaseName(name, 3), number: 3, commit: commitOf(n) },
      conditions: ready('FL_APPLICATION_READY', { total: 1000, commit: commitOf(n).slice(0, 12) }, at(n), true),
    },
  });
}

function commitOf(n: number): string {
  return ((n % 40) + 0xabcdef10).toString(16).padStart(8, '0').repeat(5);
}

function releaseOf(name: string, n: number, clusters: readonly string[]): PlaneObject {
  return object(Release, releaseName(name, 3), {
    namespace: 'default',
    spec: {
      application: name,
      applicationUid: newUid(),
      applicationGeneration: 1,
      number: 3,
      source: {
        kind: 'GitRepository',
        name: 'fleet',
        commit: commitOf(n),
        committedAt: at(n),
        author: 'Alex Doe',
        subject: `Raise the limits of ${name}`,
      },
      rendererVersion: 'seeded',
      settings: {},
      settingsDigest: 'sha256:seeded',
      bundles: [{ digest: `sha256:${'0'.repeat(64)}`, objects: 12, clusters }],
      renderedAt: at(n),
    },
    status: {},
  });
}

function deliveryOf(application: string, cluster: string, number: number, code: ReasonCode, args: Verdict[1]): PlaneObject {
  const release = releaseName(application, 3);
  return object(Delivery, deliveryName(application, cluster), {
    namespace: 'default',
    spec: {
      application,
      cluster,
      wanted: { release, number: 3, bundle: `sha256:${'0'.repeat(64)}`, settings: 'sha256:seeded', assignedAt: at(number) },
    },
    status: {
      phase: code === 'FL_READY' ? 'Healthy' : 'Degraded',
      reason: { code, args, since: at(number) },
      conditions: ready(code, args, at(number), code === 'FL_READY'),
    },
  });
}

function eventOf(application: string, cluster: string, number: number, code: ReasonCode, args: Verdict[1]): PlaneObject {
  const name = deliveryName(application, cluster);
  return object(Event, `${cluster}.${number}`, {
    namespace: 'default',
    spec: {
      involvedObject: { apiVersion: Delivery.apiVersion, kind: Delivery.kind, namespace: 'default', name, uid: '' },
      type: 'Warning',
      code,
      args,
      message: say({ code, args }),
      source: 'fairlead-agent',
      firstAt: at(number),
      lastAt: at(number),
      count: 1,
      cluster,
    },
    status: {},
  });
}
