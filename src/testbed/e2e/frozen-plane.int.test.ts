import assert from 'node:assert/strict';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Cluster, GitRepository } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet } from './fleet.ts';
import { Witness } from './witness.ts';

const skip = testbedMissing();
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'b' } }, agentArgs: ['--lease-duration', '10'] });
});

after(() => fleet?.[Symbol.asyncDispose]());

test(
  'keys with a database of others: frozen, nothing signed, read only, until a person adopts; then the cluster returns by itself',
  { skip, timeout: 300_000 },
  async () => {
    await fleet.commit({ 'web/one.yaml': configMapYaml('one', { n: '1' }), 'web/two.yaml': configMapYaml('two', { n: '1' }) });
    await fleet.application('web');
    await fleet.ready('web', 'dev');
    await using witness = await Witness.of(fleet.member('dev').handle.kubeconfig, fleet.ns('web'));

    // A database that these keys do not know: a new one, in the place of theirs.
    await fleet.killPlane();
    const store = join(fleet.planeDir, 'store');
    await rename(store, join(fleet.dir, 'store-aside'));
    await fleet.startPlane();

    const frozen = await fleet.view<{ readonly frozen: boolean; readonly sentence: string }>('fleet');
    assert.equal(frozen.frozen, true);
    assert.match(frozen.sentence, /frozen/);
    // Whoever writes is told; reads go on.
    await assert.rejects(
      fleet.apply(
        GitRepository,
        { name: 'fleet', namespace: 'default' },
        { url: fleet.git.repoUrl('fleet'), ref: { branch: 'main' }, interval: '5s' },
      ),
      /frozen/,
    );
    assert.deepEqual(await fleet.list(Cluster), []);
    await waitFor(
      'the agent to be told',
      async () => {
        return (await readFile(fleet.member('dev').agent.log, 'utf8')).includes('the plane is frozen');
      },
      { timeoutMs: 60_000 },
    );
    // The cluster goes on by itself.
    await fleet.member('dev').handle.request('DELETE', `/api/v1/namespaces/${fleet.ns('web')}/configmaps/two`);
    await waitFor('two to be healed', () => fleet.configMap('dev', fleet.ns('web'), 'two'), { timeoutMs: 30_000 });
    assert.deepEqual(witness.deleted, ['two']);
    witness.deleted.length = 0;

    // A person says that they belong together.
    await fleet.killPlane();
    const adopted = await fleet.cli(['plane', 'adopt', '--data', fleet.planeDir]);
    assert.equal(adopted.exitCode, 0, adopted.stderr);
    await fleet.startPlane();
    assert.equal((await fleet.view<{ readonly frozen: boolean }>('fleet')).frozen, false);
    await waitFor(
      'dev to return by its receipt, and to be in recovery',
      async () => {
        const found = await fleet.get(Cluster, { name: 'dev' });
        return found?.status?.agent !== undefined && found.status.recovery !== undefined;
      },
      { timeoutMs: 90_000 },
    );
    assert.ok(await fleet.configMap('dev', fleet.ns('web'), 'one'));
    assert.deepEqual(witness.deleted, []);
    assert.deepEqual(witness.wentBack(), []);

    // Sources and Applications are written anew; the cluster goes on where it is.
    await fleet.apply(
      GitRepository,
      { name: 'fleet', namespace: 'default' },
      { url: fleet.git.repoUrl('fleet'), ref: { branch: 'main' }, interval: '5s' },
    );
    await fleet.application('web');
    const next = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { n: '2' }) });
    await waitFor(
      'the next commit to arrive',
      async () => (await fleet.configMap('dev', fleet.ns('web'), 'one'))?.data?.['n'] === '2',
      { timeoutMs: 90_000 },
    );
    assert.ok(next);
    assert.deepEqual(witness.deleted, []);
    assert.deepEqual(witness.wentBack(), []);
  },
);
