/**
 * What the plane's Kubernetes API costs, over TLS, server and client in two processes on one machine: creates, applies and
 * gets, lists of 10,000 objects, one event to 1,000 watchers. Beside the times stands the server's processor time, which a
 * machine that others use, too, distorts less.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mapLimited } from '../src/base/index.ts';
import { startKubeApiForTest } from '../src/plane/kubeapi/testing/start-kube-api.ts';
import type { Measured } from './main.ts';
import type { Row } from './report.ts';
import { usageOf } from './usage.ts';

interface Ready {
  readonly server: string;
  readonly ca: string;
  readonly token: string;
}

const apps = '/apis/fairlead.dev/v1alpha1/namespaces/default/applications';
const OBJECTS = 10_000;

function application(name: string): unknown {
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'Application',
    metadata: { name, namespace: 'default', labels: { tier: `t${name.length}`, team: 'core' } },
    spec: {
      source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: `apps/${name}` },
      targets: [{ clusterSelector: { matchLabels: { env: 'prod' } } }],
    },
  };
}

async function serve(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  const plane = await startKubeApiForTest({ dir });
  const ready: Ready = { server: plane.server, ca: plane.caPem, token: plane.token };
  process.send?.(ready);
  process.once('message', () => {
    void plane.stop().then(() => {
      rmSync(dir, { recursive: true });
      process.disconnect();
    });
  });
}

class Client {
  readonly rows: Row[] = [];
  readonly #ready: Ready;
  readonly #agent: Agent;
  readonly #pid: number;

  constructor(ready: Ready, pid: number) {
    this.#ready = ready;
    this.#pid = pid;
    this.#agent = new Agent({ keepAlive: true, ca: ready.ca, maxSockets: 64 });
  }

  close(): void {
    this.#agent.destroy();
  }

  send(method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        `${this.#ready.server}${path}`,
        {
          method,
          agent: this.#agent,
          headers: { authorization: `Bearer ${this.#ready.token}`, 'content-type': 'application/json', ...headers },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const answer = Buffer.concat(chunks);
            if ((response.statusCode ?? 500) < 300) resolve(answer);
            else reject(new Error(answer.toString()));
          });
        },
      );
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  #row(what: string, values: readonly number[], unit: string): void {
    this.rows.push({ what, target: '-', values, unit });
  }

  async rate(what: string, count: number, inFlight: number, task: (index: number) => Promise<unknown>): Promise<void> {
    const before = usageOf(this.#pid).cpuMs;
    const started = performance.now();
    await mapLimited(Array.from({ length: count }), inFlight, (_none, index) => task(index));
    this.#row(`${what}, ${inFlight} in flight`, [(count / (performance.now() - started)) * 1000], '/s');
    this.#row('  server processor each', [(usageOf(this.#pid).cpuMs - before) / count], 'ms');
  }

  async time(what: string, path: string, accept = 'application/json'): Promise<void> {
    const values: number[] = [];
    const before = usageOf(this.#pid).cpuMs;
    for (let round = 0; round < 9; round++) {
      const started = performance.now();
      await this.send('GET', path, undefined, { accept });
      values.push(performance.now() - started);
    }
    this.#row(what, values, 'ms');
    this.#row('  server processor each', [(usageOf(this.#pid).cpuMs - before) / values.length], 'ms');
  }

  memory(what: string): void {
    this.#row(what, [usageOf(this.#pid).rssMb], 'MiB');
  }

  async watchers(count: number): Promise<void> {
    const list = JSON.parse((await this.send('GET', `${apps}?limit=1`)).toString('utf8')) as {
      metadata: { resourceVersion: string };
    };
    let arrivals: number[] = [];
    const started = performance.now();
    const closes = await mapLimited(Array.from({ length: count }), 50, () =>
      this.#watch(list.metadata.resourceVersion, () => arrivals.push(performance.now())),
    );
    this.#row(`open ${count} watches, one TLS connection each`, [performance.now() - started], 'ms');
    const [first, last]: [number[], number[]] = [[], []];
    for (let round = 0; round < 9; round++) {
      arrivals = [];
      const at = performance.now();
      const patch = { metadata: { labels: { round: String(round) } } };
      await this.send('PATCH', `${apps}/one-1`, patch, { 'content-type': 'application/merge-patch+json' });
      while (arrivals.length < count) await new Promise((resolve) => setTimeout(resolve, 2));
      first.push((arrivals[0] ?? at) - at);
      last.push((arrivals.at(-1) ?? at) - at);
    }
    this.#row(`one event to ${count} watchers, the first`, first, 'ms');
    this.#row(`one event to ${count} watchers, the last`, last, 'ms');
    this.memory(`memory with ${count} watchers`);
    for (const close of closes) close();
  }

  #watch(revision: string, onEvent: () => void): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        `${this.#ready.server}${apps}?watch=1&labelSelector=team%3Dcore&resourceVersion=${revision}`,
        { ca: this.#ready.ca, agent: false, headers: { authorization: `Bearer ${this.#ready.token}` } },
        (response) => {
          response.on('data', onEvent);
          response.on('error', () => undefined);
          resolve(() => request.destroy());
        },
      );
      request.on('error', reject);
      request.end();
    });
  }
}

export async function kubeApi(progress: (line: string) => void): Promise<Measured> {
  const child: ChildProcess = fork(import.meta.filename, ['serve']);
  try {
    const ready = await new Promise<Ready>((resolve, reject) => {
      child.once('message', (message) => resolve(message as Ready));
      child.once('exit', () => reject(new Error('the server ended before it was ready')));
    });
    const client = new Client(ready, child.pid ?? 0);
    const create = (prefix: string, index: number): Promise<unknown> =>
      client.send('POST', apps, application(`${prefix}-${index}`));
    const apply = (index: number): Promise<unknown> =>
      client.send('PATCH', `${apps}/many-${index}?fieldManager=bench`, application(`many-${index}`), {
        'content-type': 'application/apply-patch+yaml',
      });
    client.memory('memory, fresh');
    progress(`creating ${OBJECTS} objects`);
    await client.rate('create', 1000, 1, (index) => create('one', index));
    await client.rate('create', OBJECTS - 1000, 32, (index) => create('many', index));
    await client.rate('server-side apply that adds a manager', 2000, 32, apply);
    await client.rate('server-side apply that changes nothing', 2000, 32, apply);
    await client.rate('get', 2000, 1, (index) => client.send('GET', `${apps}/many-${index}`));
    await client.rate('get', 6000, 32, (index) => client.send('GET', `${apps}/many-${index}`));
    progress('listing');
    await client.time(`list ${OBJECTS}, JSON`, apps);
    await client.time(`list ${OBJECTS}, Table`, apps, 'application/json;as=Table;v=v1;g=meta.k8s.io');
    await client.time(`list ${OBJECTS}, metadata`, apps, 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io');
    await client.time('list by label, 1,000 of them', `${apps}?labelSelector=tier%3Dt8`);
    await client.time('page of 500', `${apps}?limit=500`);
    client.memory('memory after these lists');
    progress('watching');
    await client.watchers(1000);
    client.close();
    return { rows: client.rows, notes: ['every create and apply is a commit that was flushed to disk before it was answered'] };
  } finally {
    child.send('stop');
  }
}

if (process.argv[2] === 'serve') await serve();
