import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Application } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'a', labels: { env: 'dev' } }, eu: { on: 'b', labels: { env: 'prod' } } } });
  await fleet.commit({
    'web/dev/settings.yaml': configMapYaml('settings', { greeting: 'hello', size: 'small' }),
    'web/prod/settings.yaml': configMapYaml('settings', { greeting: 'hello', size: 'large' }),
    'web/prod/keys.yaml': 'apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {password: canary-of-the-cli}\n',
  });
  await fleet.application('web', {
    source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'web/${cluster.labels.env}' },
  });
  for (const cluster of fleet.members.keys()) await fleet.ready('web', cluster);
});

after(() => fleet?.[Symbol.asyncDispose]());

async function run(...args: string[]): Promise<{ exitCode: number; out: string; err: string }> {
  const { exitCode, stdout, stderr } = await fleet.cli(args);
  return { exitCode, out: stdout.toString('utf8'), err: stderr };
}

test('diff says what a branch would change on each cluster, and changes nothing', { skip }, async () => {
  const unchanged = await run('diff', 'web');
  assert.equal(unchanged.exitCode, 0, unchanged.err);
  assert.match(unchanged.out, /no change/);

  const main = (await fleet.git.git('fleet', ['rev-parse', 'refs/heads/main'])).trim();
  await fleet.git.commit(
    'fleet',
    {
      'web/prod/settings.yaml': configMapYaml('settings', { greeting: 'good evening', size: 'large' }),
      'web/prod/keys.yaml': 'apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {password: another-canary}\n',
      'web/prod/more.yaml': configMapYaml('more', { a: '1' }),
    },
    'Greet by the time of day',
    { branch: 'evening', parent: main },
  );
  const { exitCode, out } = await run('diff', 'web', '--commit', 'evening');
  assert.equal(exitCode, 3);
  assert.match(out, /eu: 3 objects/);
  assert.match(out, /dev: no change \(1 unchanged\)/);
  assert.match(out, /- \.data\.greeting: "hello"\n\s+\+ \.data\.greeting: "good evening"/);
  assert.match(out, /\+ ConfigMap\/\S+more/);
  assert.match(out, /~ Secret\/\S+keys\n\s+- \.data: \[redacted\]/);
  assert.equal(/canary/.test(out), false);
  assert.equal((await fleet.configMap('eu', fleet.ns('web'), 'settings'))?.data?.['greeting'], 'hello');

  const unknown = await run('diff', 'web', '--commit', 'nowhere');
  assert.equal(unknown.exitCode, 1);
  assert.match(unknown.err, /has no branch nowhere/);
});

test('status, why and tree tell one story, in tables and in JSON', { skip }, async () => {
  const status = await run('status');
  assert.equal(status.out, '2 clusters, 2 deliveries: all are what Git says\n');
  assert.equal(status.exitCode, 0);
  const asJson = JSON.parse((await run('status', '-o', 'json')).out) as { counts: { ready: number } };
  assert.equal(asJson.counts.ready, 2);
  const why = await run('why', 'web', 'eu');
  assert.match(why.out, /^default\/web on eu: release web\.\d+ is applied and healthy$/m);
  assert.match(why.out, /commit .* > healthy /);
  const tree = await run('tree', 'web', 'eu');
  assert.match(tree.out, /ConfigMap\/\S+settings {2}ready/);
  assert.match(tree.out, /Secret\/\S+keys {2}ready/);
});

test('suspend holds a commit back and says so, resume lets it go', { skip }, async () => {
  assert.equal((await run('suspend', 'web')).out, 'application/web suspended\n');
  const commit = await fleet.commit({ 'web/dev/settings.yaml': configMapYaml('settings', { greeting: 'later', size: 'small' }) });
  const why = await waitFor(
    'the application to say that it is suspended',
    async () => {
      const { out } = await run('why', 'web');
      return /suspended: .*fairlead resume application\/web/.test(out) ? out : undefined;
    },
    { timeoutMs: 30_000 },
  );
  assert.match(why, /web/);
  assert.equal((await fleet.configMap('dev', fleet.ns('web'), 'settings'))?.data?.['greeting'], 'hello');
  await run('resume', 'web');
  await fleet.ready('web', 'dev', commit);
  assert.equal((await fleet.configMap('dev', fleet.ns('web'), 'settings'))?.data?.['greeting'], 'later');
  assert.equal((await fleet.get(Application, { namespace: 'default', name: 'web' }))?.spec.suspend, undefined);
});

test('wrong use exits with 2 and says what is right', { skip }, async () => {
  for (const args of [['frobnicate'], ['why'], ['why', 'planet/web'], ['status', '-o', 'xml']]) {
    const { exitCode, err } = await run(...args);
    assert.equal(exitCode, 2, `${args.join(' ')}: ${err}`);
    assert.notEqual(err, '');
  }
});
