import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Application, Cluster, conditionOf, CONFIRM_RECOVERY_ANNOTATION } from '#api';
import { Sensitive, waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { POSTGRES_MISSING, postgresPrograms } from '../../plane/store/testing/postgres-server.ts';
import { openPostgresStore } from '../../plane/store/postgres/postgres-store.ts';
import { configMapYaml, type Fleet } from './fleet.ts';
import { ReplicatedFleet } from './replicated.testing.ts';
import { Witness } from './witness.ts';

const skip = postgresPrograms() === undefined ? POSTGRES_MISSING : testbedMissing();
const clusters = ['dev', 'eu'] as const;
let replicated: ReplicatedFleet;
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  replicated = await ReplicatedFleet.start({ dev: { on: 'a' }, eu: { on: 'b' } });
  fleet = replicated.fleet;
  for (const cluster of clusters) await fleet.enroll(cluster);
});

after(() => replicated?.[Symbol.asyncDispose]());

const number = (name: string, n: number): string => configMapYaml(name, { n: String(n) });

async function shows(app: string, name: string, n: number | undefined): Promise<void> {
  for (const cluster of clusters) {
    await waitFor(
      `${app}/${name} on ${cluster} to be ${String(n)}`,
      async () => {
        const found = (await fleet.configMap(cluster, fleet.ns(app), name))?.data?.['n'];
        if (found !== n?.toString()) {
          throw new Error(
            JSON.stringify([found, (await fleet.delivery(app, cluster).catch(String)) ?? null, await recoveryOf(cluster)]),
          );
        }
        return true;
      },
      { timeoutMs: 120_000 },
    );
  }
}

async function recoveryOf(cluster: string): Promise<NonNullable<Cluster['status']>['recovery']> {
  return (await fleet.get(Cluster, { name: cluster }))?.status?.recovery;
}

test(
  'the database under two running processes is lost and restored from a backup: no cluster goes back, nothing is deleted before a person confirms',
  { skip, timeout: 420_000 },
  async () => {
    const { database, keys, server, url } = replicated;
    await fleet.commit({
      'web/one.yaml': number('one', 1),
      'web/two.yaml': number('two', 1),
      'old/one.yaml': number('one', 1),
      'new/one.yaml': number('one', 1),
    });
    await fleet.application('web');
    await fleet.application('old', { deletionPolicy: 'Delete' });
    for (const cluster of clusters) for (const app of ['web', 'old']) await fleet.ready(app, cluster, undefined, 120_000);

    const out = join(replicated.dir, 'plane.backup');
    const backup = await fleet.cli(['backup', '--out', out, ...database]);
    assert.equal(backup.exitCode, 0, backup.stderr);

    // Work goes on: changes, a pruned object, an application made, another one retired.
    await fleet.commit({ 'web/one.yaml': number('one', 2), 'web/two.yaml': { delete: true } });
    await fleet.application('new');
    await shows('web', 'one', 2);
    await shows('web', 'two', undefined);
    await fleet.delete(Application, { namespace: 'default', name: 'old' });
    await shows('old', 'one', undefined);
    const last = await fleet.commit({ 'web/one.yaml': number('one', 3), 'web/four.yaml': number('four', 1) });
    for (const cluster of clusters) for (const app of ['web', 'new']) await fleet.ready(app, cluster, last, 120_000);

    await using stack = new AsyncDisposableStack();
    const witnesses: Witness[] = [];
    for (const { handle } of fleet.members.values())
      for (const app of ['web', 'new']) witnesses.push(stack.use(await Witness.of(handle.kubeconfig, fleet.ns(app))));
    const undisturbed = (): void => {
      for (const witness of witnesses) {
        assert.deepEqual(witness.wentBack(), []);
        assert.deepEqual(witness.deleted, []);
      }
    };

    // Lost, under the running processes, and made anew empty.
    const name = new URL(url.reveal()).pathname.slice(1);
    const maintenance = new Sensitive(Object.assign(new URL(url.reveal()), { pathname: '/postgres' }).href);
    server.sql(maintenance, `DROP DATABASE ${name} WITH (FORCE)`);
    server.sql(maintenance, `CREATE DATABASE ${name} TEMPLATE template0`);
    const restore = await fleet.cli(['restore', out, ...database, ...keys]);
    assert.equal(restore.exitCode, 0, restore.stderr);

    for (const cluster of clusters) {
      await waitFor(
        `${cluster} to be told to be in recovery`,
        async () => {
          const found = await fleet.get(Cluster, { name: cluster });
          const told = found === undefined ? undefined : conditionOf(found, 'Ready')?.message;
          if (found?.status?.recovery === undefined || told?.includes('restored from an older copy') !== true)
            throw new Error(told);
          return true;
        },
        { timeoutMs: 120_000 },
      );
    }
    undisturbed();

    // It goes on under the pause, and deletes nothing.
    await fleet.commit({ 'web/one.yaml': number('one', 4), 'web/four.yaml': { delete: true } });
    await shows('web', 'one', 4);
    await shows('new', 'one', 1);
    // Of a deletion that the backup is older than nobody can tell it: what it wants comes again, until it is deleted again.
    await shows('old', 'one', 1);
    undisturbed();
    for (const cluster of clusters) {
      assert.ok(await fleet.configMap(cluster, fleet.ns('web'), 'four'), 'nothing is deleted before a person confirms');
    }

    for (const cluster of clusters) {
      const adopted = (await recoveryOf(cluster))?.adopted;
      await fleet.patch(
        Cluster,
        { name: cluster },
        { metadata: { annotations: { [CONFIRM_RECOVERY_ANNOTATION]: `${adopted?.epoch}.${adopted?.seq}` } } },
      );
    }
    await shows('web', 'four', undefined);
    for (const cluster of clusters) {
      assert.equal(await recoveryOf(cluster), undefined);
      assert.ok(await fleet.configMap(cluster, fleet.ns('new'), 'one'), 'what the plane has forgotten stays');
    }
    for (const witness of witnesses) assert.deepEqual(witness.wentBack(), []);

    const store = await openPostgresStore({ url });
    const verdict = await store.verifyAudit();
    await store.close();
    assert.equal(verdict.brokenAt, undefined, 'the audit chain is whole again');
  },
);
