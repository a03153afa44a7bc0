import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Delivery, Release, type LiveObjectView } from '#api';
import { silentLog, waitFor, type Sensitive } from '#base';
import { createKubeClient, loadKubeconfig } from '#kube';
import { testbedMissing } from '#testbed';
import { openPostgresStore } from '../../plane/store/postgres/postgres-store.ts';
import { POSTGRES_MISSING, postgresPrograms } from '../../plane/store/testing/postgres-server.ts';
import { configMapYaml, type Fleet } from './fleet.ts';
import { ReplicatedFleet, type Balancer, type Replica } from './replicated.testing.ts';

const skip = postgresPrograms() === undefined ? POSTGRES_MISSING : testbedMissing();

let replicated: ReplicatedFleet;
let url: Sensitive<string>;
let fleet: Fleet;
let first: Replica;
let balancer: Balancer;

before(async () => {
  if (skip !== false) return;
  replicated = await ReplicatedFleet.start({ dev: { on: 'a' }, eu: { on: 'b' } });
  ({ url, fleet, first, balancer } = replicated);
  await fleet.enroll('dev');
  await fleet.enroll('eu');
});

after(() => replicated?.[Symbol.asyncDispose]());

const clusters = ['dev', 'eu'] as const;
let version = 0;

/** Commits the next version; the commit. */
function next(): Promise<string> {
  version += 1;
  return fleet.git.commit('fleet', { 'web/one.yaml': configMapYaml('one', { n: String(version) }) }, `Version ${version}`);
}

async function arrived(commit: string): Promise<void> {
  for (const cluster of clusters) {
    await fleet.ready('web', cluster, commit, 120_000);
    assert.equal((await fleet.configMap(cluster, fleet.ns('web'), 'one'))?.data?.['n'], String(version));
  }
}

/** Every version made one Release, and the numbers have no gap: nothing was lost and nothing was made twice. */
async function assertOneReleaseEach(): Promise<void> {
  const releases = await fleet.list(Release, 'default');
  assert.deepEqual(
    releases.map((one) => one.spec.number).toSorted((a, b) => a - b),
    Array.from({ length: version }, (_, n) => n + 1),
  );
  for (const delivery of await fleet.list(Delivery, 'default')) assert.equal(delivery.spec.wanted?.number, version);
}

/** The token under which a process took a lease last, by its log. */
function tokenOf(log: string, role: string): number {
  const tokens = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes('controllers started') && line.includes(`"lease":"${role}"`))
    .map((line) => Number(/"token":(\d+)/.exec(line)?.[1]));
  return Math.max(0, ...tokens);
}

function leader(role: string): 'first' | 'fleet' {
  return tokenOf(first.log, role) > tokenOf(fleet.plane.log, role) ? 'first' : 'fleet';
}

/** Both run, and the first leads. */
async function firstLeads(): Promise<void> {
  const isSo = (): boolean => leader('render') === 'first' && leader('controllers') === 'first';
  if (isSo()) return;
  await fleet.plane.stop(5_000);
  await waitFor('the first to lead', isSo, { timeoutMs: 60_000 });
  await fleet.startPlane();
}

test('two processes on one database deliver as one plane, whichever an agent comes to', { skip, timeout: 300_000 }, async () => {
  const commit = await next();
  await fleet.look();
  await fleet.application('web');
  await arrived(commit);
  await assertOneReleaseEach();
  assert.equal(balancer.taken.size, 2, 'agents came to both');
  assert.equal(Math.min(tokenOf(first.log, 'render'), tokenOf(fleet.plane.log, 'render')), 0, 'one of them renders');
});

test(
  'a person at either of them sees a live object, whichever the agent polls and answers; nothing of it stays in the database',
  { skip, timeout: 120_000 },
  async () => {
    const access = await loadKubeconfig(fleet.kubeconfig);
    const ports = [first.port, Number(new URL(fleet.planeUrl).port)];
    const clients = ports.map((port) =>
      createKubeClient({
        access: { ...access, server: `https://127.0.0.1:${port}` },
        userAgent: 'test/0',
        log: silentLog,
        maxSockets: 2,
      }),
    );
    const query = { group: '', kind: 'ConfigMap', namespace: fleet.ns('web'), name: 'one' };
    const times: number[] = [];
    for (let round = 0; round < 6; round += 1) {
      for (const [n, client] of clients.entries()) {
        const cluster = clusters[(round + n) % 2] ?? 'eu';
        const startedAt = performance.now();
        const path = `/views/v1/deliveries/default/web/${cluster}/object/live`;
        const { body } = await client.request({ method: 'GET', path, query });
        times.push(performance.now() - startedAt);
        const view = JSON.parse(body.toString('utf8')) as LiveObjectView;
        assert.equal(view.state, 'same', view.sentence);
        assert.ok(view.live?.some((line) => line.text === `  'n': '${version}'` || line.text === `  n: '${version}'`));
        // What the other process saw half a second ago would be given again.
        await waitFor('another look to be due', () => performance.now() - startedAt > 700, { timeoutMs: 5_000 });
      }
    }
    for (const client of clients) client.close();
    // Handed out again after 1.5 s: what it takes where an answer that overtakes its question is lost.
    assert.ok(times.filter((ms) => ms < 1400).length > times.length / 2, times.join(', '));
    process.stdout.write(`# looks with two processes took ${times.map((ms) => Math.round(ms)).join(', ')} ms\n`);
    await waitFor(
      'the posts of looks to be taken away',
      () =>
        replicated.server.sql(url, "SELECT count(*) FROM posts WHERE topic IN ('look', 'looked') AND value IS NOT NULL") === '0',
      { timeoutMs: 60_000, intervalMs: 500 },
    );
    assert.notEqual(replicated.server.sql(url, "SELECT count(*) FROM posts WHERE topic = 'looked'"), '0', 'there were some');
  },
);

test(
  'the process that leads is killed in the middle of a commit: the other goes on, nothing is lost or doubled',
  { skip, timeout: 300_000 },
  async () => {
    await firstLeads();
    const commit = await next();
    await fleet.look();
    // Somewhere between the fetch and the signed documents.
    await new Promise((resolve) => setTimeout(resolve, 400));
    first.signal('SIGKILL');
    await arrived(commit);
    await assertOneReleaseEach();
    await first.start();
  },
);

test(
  'one after the other restarts: agents are answered throughout, and the work is handed over',
  { skip, timeout: 300_000 },
  async () => {
    await first.stop();
    const during = await next();
    await fleet.look();
    await arrived(during);
    await first.start();
    await fleet.plane.stop(5_000);
    const without = await next();
    await fleet.startPlane();
    await fleet.look();
    await arrived(without);
    await assertOneReleaseEach();
  },
);

test('a leader that was stopped for a minute finds itself deposed and writes nothing', { skip, timeout: 300_000 }, async () => {
  await firstLeads();
  first.signal('SIGSTOP');
  const commit = await next();
  await waitFor('the other to lead', () => leader('render') === 'fleet' && leader('controllers') === 'fleet', {
    timeoutMs: 60_000,
  });
  await fleet.look();
  // Its agents' connections hang with it until their time is up; the others are answered.
  first.signal('SIGCONT');
  await arrived(commit);
  await assertOneReleaseEach();
  const last = await next();
  await fleet.look();
  await arrived(last);
  await assertOneReleaseEach();
});

test('divided roles: one process serves agents and the API, another decides', { skip, timeout: 300_000 }, async () => {
  await first.stop();
  await first.start('controllers,render');
  await firstLeads();
  const commit = await next();
  await fleet.look();
  await arrived(commit);
  await assertOneReleaseEach();
});

test(
  'a rotated key: both processes take it over while they run, and the agents with their next document',
  { skip, timeout: 120_000 },
  async () => {
    const nowhere = await fleet.cli(['plane', 'rotate-key', '--keys', join(replicated.dir, 'nowhere')]);
    assert.match(nowhere.stderr, /holds no keys of a plane/);
    const rotated = await fleet.cli(['plane', 'rotate-key', '--revoke', ...replicated.keys]);
    assert.equal(rotated.exitCode, 0, rotated.stderr);
    for (const cluster of clusters) {
      await waitFor(
        `the agent of ${cluster} to know the new key`,
        () =>
          /"version":2.*took over a newer key set|took over a newer key set.*"version":2/.test(
            readFileSync(fleet.member(cluster).agent.log, 'utf8'),
          ),
        { timeoutMs: 60_000 },
      );
    }
    const commit = await next();
    await fleet.look();
    await arrived(commit);
    await assertOneReleaseEach();
  },
);

test('the audit chain of all of them is one chain', { skip, timeout: 60_000 }, async () => {
  const store = await openPostgresStore({ url });
  const verdict = await store.verifyAudit();
  await store.close();
  assert.equal(verdict.brokenAt, undefined);
  assert.ok(verdict.leaves > 5);
});
