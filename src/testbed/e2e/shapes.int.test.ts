import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { Application, Cluster, conditionOf, Delivery, GitRepository } from '#api';
import { must, waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { auditMark, type AuditMark } from './audit.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
const root = resolve(import.meta.dirname, '..', '..', '..', 'examples', 'repositories');
const only = process.env['FAIRLEAD_SHAPES']?.split(',');
const shapes = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && (only === undefined || only.includes(entry.name)))
  .map((entry) => entry.name);
const clusters = ['dev', 'prod-eu', 'prod-us'];
const ROUNDS = 50;
/** Cluster-scoped objects of the examples, and namespaces that are objects themselves. */
const leftovers = [
  '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/topics.queue.example.com',
  '/apis/rbac.authorization.k8s.io/v1/clusterroles/tenants-all',
  '/apis/rbac.authorization.k8s.io/v1/clusterroles/tenants-read',
  '/api/v1/namespaces/tenant-red',
  '/api/v1/namespaces/tenant-blue',
];
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: {
      dev: { on: 'a', labels: { env: 'dev', region: 'eu' } },
      'prod-eu': { on: 'b', labels: { env: 'prod', region: 'eu' } },
      'prod-us': { on: 'c', labels: { env: 'prod', region: 'us' } },
    },
  });
});

after(async () => {
  if (skip !== false) return;
  const handles = [...fleet.members.values()].map((member) => member.handle);
  await fleet[Symbol.asyncDispose]();
  for (const handle of handles) for (const path of leftovers) await handle.request('DELETE', path);
});

/** The files of a directory, by their paths in it. */
function filesOf(directory: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    // Into a namespace of this fleet's own: control planes are shared.
    files[path.slice(directory.length + 1)] = readFileSync(path, 'utf8').replaceAll(
      /^( {2}defaultNamespace: )(?!default$)(.+)$/gm,
      (_, key: string, name: string) => `${key}${fleet.ns(name)}`,
    );
  }
  return files;
}

/** 500 objects of eight kinds, as a platform team rolls out to every cluster. */
function platformBundle(): Record<string, string> {
  const files: Record<string, string> = {};
  for (let team = 0; team < 50; team += 1) {
    const name = `team-${team}`;
    const meta = (suffix: string): string => `metadata: {name: ${name}${suffix}, labels: {team: ${name}}}`;
    files[`platform/${name}.yaml`] = [
      `apiVersion: v1\nkind: ServiceAccount\n${meta('')}`,
      `apiVersion: v1\nkind: ConfigMap\n${meta('')}\ndata: {team: "${team}"}`,
      `apiVersion: v1\nkind: ConfigMap\n${meta('-more')}\nbinaryData: {bytes: AAEC}`,
      `apiVersion: v1\nkind: Secret\n${meta('')}\ntype: Opaque\nstringData: {key: "secret of ${name}"}`,
      `apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n${meta('')}\nrules: [{apiGroups: [""], resources: [pods, pods/log], verbs: [get]}]`,
      `apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n${meta('')}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ${name}}\nsubjects: [{kind: ServiceAccount, name: ${name}}]`,
      `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n${meta('')}\nspec: {podSelector: {matchLabels: {team: ${name}}}, policyTypes: [Egress]}`,
      `apiVersion: v1\nkind: Service\n${meta('')}\nspec: {selector: {team: ${name}}, ports: [{port: 80}, {port: 443, name: tls}]}`.replace(
        '{port: 80}',
        '{port: 80, name: http}',
      ),
      `apiVersion: networking.k8s.io/v1\nkind: Ingress\n${meta('')}\nspec: {defaultBackend: {service: {name: ${name}, port: {number: 80}}}}`,
      `apiVersion: policy/v1\nkind: PodDisruptionBudget\n${meta('')}\nspec: {minAvailable: 50%, selector: {matchLabels: {team: ${name}}}}`,
    ].join('\n---\n');
  }
  const application = `apiVersion: fairlead.dev/v1alpha1\nkind: Application\nmetadata: {name: platform, namespace: default}\nspec:\n  source: {sourceRef: {kind: GitRepository, name: platform-bundle}, path: platform}\n  targets: [{clusterSelector: {}}]\n  defaultNamespace: ${fleet.ns('platform')}\n`;
  return { ...files, 'fairlead.yaml': application };
}

async function deliver(name: string, files: Record<string, string>): Promise<void> {
  await fleet.git.createRepo(name);
  await fleet.git.commit(name, files, 'As it is');
  const source = { url: fleet.git.repoUrl(name), ref: { branch: 'main' }, interval: '5s' };
  await fleet.apply(GitRepository, { name, namespace: 'default' }, source);
  const applied = await fleet.kubectl(['apply', '-f', '-'], files['fairlead.yaml']);
  assert.equal(applied.exitCode, 0, applied.stderr);
}

function allReady(what: string, timeoutMs: number): Promise<true> {
  return waitFor(
    what,
    async () => {
      const applications = await fleet.list(Application, 'default');
      const deliveries = await fleet.list(Delivery, 'default');
      const waiting = [...applications, ...deliveries].find((one) => conditionOf(one, 'Ready')?.status !== 'True');
      if (waiting !== undefined) {
        throw new Error(`${waiting.kind} ${waiting.metadata.name}: ${conditionOf(waiting, 'Ready')?.message ?? 'nothing said'}`);
      }
      // The application of applications goes to the plane and makes two more.
      const count = 1 + shapes.length + (only === undefined ? 1 : 0) + (shapes.includes('app-of-apps') ? 2 : 0);
      if (applications.length !== count) throw new Error(`${applications.length} of ${count} applications`);
      return true;
    },
    { timeoutMs, intervalMs: 250 },
  );
}

/** Everything on every cluster is compared anew; a commit that comes after says when the agents have heard of it. */
async function resync(round: number): Promise<void> {
  for (const name of clusters) {
    await fleet.patch(Cluster, { name }, { metadata: { annotations: { 'fairlead.dev/reconcile': `round ${round}` } } });
  }
  await fleet.commit({ 'round/round.yaml': configMapYaml('round', { round: String(round) }) });
  for (const name of clusters) {
    await waitFor(
      `round ${round} in ${name}`,
      async () => (await fleet.configMap(name, fleet.ns('round'), 'round'))?.data?.['round'] === String(round),
      { timeoutMs: 30_000, intervalMs: 50 },
    );
  }
}

async function fingerprint(cluster: string): Promise<Record<string, string>> {
  const of: Record<string, string> = {};
  const note = async (what: string, path: string): Promise<void> => {
    const live = must(await fleet.live(cluster, path), `${path} is in ${cluster}`);
    of[what] = JSON.stringify([live.metadata.uid, live.data]);
  };
  if (shapes.includes('chart-generated-passwords')) {
    await note('password', `/api/v1/namespaces/${fleet.ns('vault-lite')}/secrets/credentials`);
    await note('certificate', `/api/v1/namespaces/${fleet.ns('vault-lite')}/secrets/tls`);
  }
  if (shapes.includes('chart-crds-hooks')) {
    const jobs = `/apis/batch/v1/namespaces/${fleet.ns('queue')}/jobs`;
    await note('before', `${jobs}/queue-migrate`);
    await note('after', `${jobs}/queue-post-install`);
    assert.equal(await fleet.live(cluster, `${jobs}/queue-post-upgrade`), undefined, 'an installation is no upgrade');
    assert.equal(await fleet.live(cluster, `/api/v1/namespaces/${fleet.ns('queue')}/pods/queue-ping`), undefined);
  }
  return of;
}

test(
  'repositories as teams have them reach three clusters and come to rest',
  { skip, timeout: 290_000 },
  async (t: TestContext) => {
    for (const name of shapes) await deliver(name, filesOf(join(root, name)));
    if (only === undefined) await deliver('platform-bundle', platformBundle());
    await fleet.commit({ 'round/round.yaml': configMapYaml('round', { round: '0' }) });
    await fleet.application('round');
    await allReady('everything to be ready', 240_000);
    const deliveries = await fleet.list(Delivery, 'default');
    t.diagnostic(`${deliveries.length} deliveries of ${shapes.length} repositories are ready`);
    const marks = new Map(
      clusters.map((name): [string, AuditMark] => [name, auditMark(fleet.member(name).handle, fleet.agentNamespace)]),
    );
    const releases = new Map(
      (await fleet.list(Application, 'default')).map((one) => [one.metadata.name, one.status?.release?.name]),
    );
    const found = new Map<string, Record<string, string>>();
    for (const name of clusters) found.set(name, await fingerprint(name));
    if (shapes.includes('chart-generated-passwords')) {
      assert.equal(new Set([...found.values()].map((of) => of['password'])).size, clusters.length, 'a password for each cluster');
    }

    for (let round = 1; round <= ROUNDS; round += 1) {
      await resync(round);
      if (round % 10 !== 0) continue;
      for (const name of shapes) await fleet.git.commit(name, { 'CHANGES.md': `round ${round}\n` }, `Round ${round}`);
    }
    await allReady('everything to be ready again', 60_000);

    for (const name of clusters) {
      const writes = marks.get(name)?.writes() ?? [];
      const rounds = writes.filter(({ uri }) => uri.includes(`/namespaces/${fleet.ns('round')}/`));
      assert.equal(rounds.length, ROUNDS, `${name}: one write for each round`);
      assert.deepEqual(
        writes.filter((one) => !rounds.includes(one)),
        [],
        `nothing else was written in ${name}`,
      );
    }
    for (const one of await fleet.list(Application, 'default')) {
      if (one.metadata.name === 'round') continue;
      assert.equal(one.status?.release?.name, releases.get(one.metadata.name), `${one.metadata.name} has no new release`);
    }
    for (const name of clusters) assert.deepEqual(await fingerprint(name), found.get(name));
    const events = await fleet.events();
    assert.deepEqual(
      events.filter((event) => event.reason.startsWith('FL_DRIFT')).map((event) => event.message),
      [],
      'no drift was seen',
    );
  },
);

test('a commit that is not delivered yet says which objects would change and which hooks would run', { skip }, async () => {
  if (!shapes.includes('chart-crds-hooks')) return;
  const parent = (await fleet.git.git('chart-crds-hooks', ['rev-parse', 'main'])).trim();
  const values = 'replicas: 1\ntopics: [orders, refunds]\nmigrate: {enabled: true}\n';
  await fleet.git.commit('chart-crds-hooks', { 'charts/queue/values.yaml': values }, 'Refunds', { branch: 'next', parent });
  const diff = await fleet.cli(['diff', 'queue', '--commit', 'next']);
  const text = diff.stdout.toString('utf8');
  assert.equal(diff.exitCode, 3, text);
  const queue = fleet.ns('queue');
  assert.match(text, /^prod-eu, prod-us: 1 object \(\d+ unchanged\)$/m);
  assert.ok(text.includes(`  + Topic/${queue}/refunds\n`), text);
  assert.ok(text.includes(`  > Job/${queue}/queue-migrate runs (pre-install, pre-upgrade)\n`), text);
  assert.ok(text.includes(`  > Job/${queue}/queue-post-upgrade runs (post-upgrade)\n`), text);
  assert.ok(!text.includes('queue-post-install'), text);
  // Its own value file names the topics.
  assert.match(text, /^dev: no change \(\d+ unchanged\)$/m);
});
