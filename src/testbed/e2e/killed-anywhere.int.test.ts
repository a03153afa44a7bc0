import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Application, Release } from '#api';
import { seededRng, systemClock, waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet } from './fleet.ts';
import { Witness } from './witness.ts';

const skip = testbedMissing();
let fleet: Fleet;

/** Another seed is another schedule of kills: FAIRLEAD_SEED=7. */
const seed = Number(process.env['FAIRLEAD_SEED'] ?? 1);
const ROUNDS = Number(process.env['FAIRLEAD_ROUNDS'] ?? 6);
const OBJECTS = 12;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { dir: { on: 'a' }, pod: { on: 'c', state: 'secrets' } },
    agentArgs: ['--lease-duration', '5'],
  });
});

after(() => fleet?.[Symbol.asyncDispose]());

/** A release: every object says which, one is only in even releases, one only in odd ones. */
function filesOf(n: number): Record<string, string | { delete: true }> {
  const files: Record<string, string | { delete: true }> = {};
  for (let index = 0; index < OBJECTS; index += 1) files[`web/o${index}.yaml`] = configMapYaml(`o${index}`, { n: String(n) });
  files[`web/${n % 2 === 0 ? 'even' : 'odd'}.yaml`] = configMapYaml(n % 2 === 0 ? 'even' : 'odd', { n: String(n) });
  if (n > 1) files[`web/${n % 2 === 0 ? 'odd' : 'even'}.yaml`] = { delete: true };
  return files;
}

/**
 * What is called done must be so: the cluster is read after the plane has said it. Older than the commit it says it holds
 * is a lie; newer may be, for the next release may be on its way.
 */
async function believe(cluster: string, numberOf: ReadonlyMap<string, number>): Promise<boolean> {
  const delivery = await fleet.delivery('web', cluster).catch(() => undefined);
  const { applied } = delivery?.status ?? {};
  const isReady = delivery?.status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') === true;
  if (!isReady || applied === undefined) return false;
  const release = await fleet.get(Release, { namespace: 'default', name: applied.release }).catch(() => undefined);
  const said = release === undefined ? undefined : numberOf.get(release.spec.source.commit);
  if (said === undefined) return false;
  const names = Array.from({ length: OBJECTS }, (_, index) => `o${index}`);
  for (const name of names) {
    const n = Number((await fleet.configMap(cluster, fleet.ns('web'), name))?.data?.['n'] ?? -1);
    assert.ok(n >= said, `${name} on ${cluster} is of release ${n}, and ${said} is said to be done`);
  }
  return true;
}

test(
  `agents and the plane killed anywhere: nothing is lost, doubled or falsely reported done (seed ${seed})`,
  { skip, timeout: 600_000 },
  async () => {
    const rng = seededRng(seed);
    const numberOf = new Map<string, number>();
    numberOf.set(await fleet.commit(filesOf(1)), 1);
    await fleet.application('web');
    for (const cluster of fleet.members.keys()) await fleet.ready('web', cluster);
    await using onDir = await Witness.of(fleet.member('dir').handle.kubeconfig, fleet.ns('web'));
    await using onPod = await Witness.of(fleet.member('pod').handle.kubeconfig, fleet.ns('web'));

    let commit = '';
    for (let n = 2; n <= ROUNDS + 1; n += 1) {
      commit = await fleet.git.commit('fleet', filesOf(n), `Release ${n}`);
      numberOf.set(commit, n);
      void fleet.look();
      // Somewhere between the commit and its end: where, is what the seed decides.
      await systemClock.sleep(rng() * 2500);
      const victims = rng();
      if (victims < 0.66) {
        await fleet.killPlane();
        if (victims < 0.33) await systemClock.sleep(rng() * 500);
        await fleet.startPlane();
      }
      if (victims > 0.33) {
        const member = fleet.member(rng() < 0.5 ? 'dir' : 'pod');
        await member.killAgent();
        member.startAgent();
      }
      for (const cluster of fleet.members.keys()) await believe(cluster, numberOf);
      // Every other release has the time to arrive; the others are overtaken on their way.
      if (n % 2 === 0) continue;
      for (const cluster of fleet.members.keys()) await fleet.ready('web', cluster, commit, 120_000);
    }
    for (const cluster of fleet.members.keys()) {
      await fleet.ready('web', cluster, commit, 120_000);
      assert.ok(await believe(cluster, numberOf));
    }

    // Nothing lost: all is as the last commit says, and what it does not have is gone.
    const last = ROUNDS + 1;
    const [present, absent] = last % 2 === 0 ? ['even', 'odd'] : ['odd', 'even'];
    for (const cluster of fleet.members.keys()) {
      for (const name of [...Array.from({ length: OBJECTS }, (_, index) => `o${index}`), present])
        assert.equal((await fleet.configMap(cluster, fleet.ns('web'), name))?.data?.['n'], String(last), `${name} on ${cluster}`);
      await waitFor(
        `${absent} to be gone from ${cluster}`,
        async () => (await fleet.configMap(cluster, fleet.ns('web'), absent)) === undefined,
        {
          timeoutMs: 60_000,
        },
      );
    }
    // Nothing went back, nothing but what Git let go of was deleted.
    for (const witness of [onDir, onPod]) {
      assert.deepEqual(witness.wentBack(), []);
      assert.deepEqual(
        witness.deleted.filter((name) => name !== 'even' && name !== 'odd'),
        [],
      );
    }
    // Nothing doubled: a commit has one Release at most, numbers are used once, and each release is said to be applied once.
    const releases = await fleet.list(Release, 'default');
    const commits = releases.map((one) => one.spec.source.commit);
    assert.equal(new Set(commits).size, commits.length, commits.join(' '));
    const numbers = releases.map((one) => one.spec.number);
    assert.equal(new Set(numbers).size, numbers.length);
    const applied = (await fleet.events()).filter(({ reason }) => reason === 'FL_APPLIED');
    for (const one of applied) assert.equal(one.count ?? 1, 1, one.message);
    const said = applied.map(({ message, involvedObject }) => `${involvedObject.name} ${/web\.\d+/.exec(message)?.[0]}`);
    assert.equal(new Set(said).size, said.length, said.join('\n'));
    assert.equal((await fleet.get(Application, { namespace: 'default', name: 'web' }))?.status?.commit, commit);
  },
);
