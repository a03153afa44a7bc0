import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { cacheRoot, exec, waitFor } from '#base';
import { formatYaml } from '#kube';
import { configMap, openLab, type Lab } from './testing/harness.ts';
import type { Manifest } from './testing/plane.ts';

let lab: Lab;
before(async () => {
  lab = await openLab('c');
  lab.start();
  await waitFor('the agent to join', () => lab.plane.agent !== undefined, { timeoutMs: 15_000 });
});
after(() => lab[Symbol.asyncDispose]());

/** The helm that was built for other tests, or `FAIRLEAD_HELM`. */
function helmBinary(): string | undefined {
  const given = process.env['FAIRLEAD_HELM'];
  if (given !== undefined) return given;
  const found = ['render-reference-helm', 'helm'].flatMap((name) => {
    const built = join(cacheRoot(), name);
    return existsSync(built) ? readdirSync(built).map((hash) => join(built, hash, 'helm')) : [];
  });
  return found.find((path) => existsSync(path));
}
const helmPath = helmBinary();

async function helm(...args: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
  const result = await exec(helmPath ?? '', [...args, '-n', lab.namespace, '--kubeconfig', lab.cluster.kubeconfig], {
    timeoutMs: 60_000,
    env: { HOME: lab.stateDir, PATH: process.env['PATH'] ?? '' },
    maxOutputBytes: 1024 * 1024,
  });
  return { code: result.exitCode, text: `${result.stdout.toString()}${result.stderr}` };
}

/** A chart of exactly these objects, installed. */
async function install(release: string, objects: readonly Manifest[]): Promise<void> {
  const chart = join(lab.stateDir, release);
  mkdirSync(join(chart, 'templates'), { recursive: true });
  writeFileSync(join(chart, 'Chart.yaml'), `apiVersion: v2\nname: ${release}\nversion: 1.0.0\n`);
  objects.forEach((object, index) => writeFileSync(join(chart, 'templates', `${index}.yaml`), formatYaml(object)));
  const installed = await helm('install', release, chart);
  assert.equal(installed.code, 0, installed.text);
}

const job = (name: string): Manifest => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name, namespace: lab.namespace },
  spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'example.test/main:1' }] } } },
});

const said = (app: string, code: string): Readonly<Record<string, unknown>> | undefined =>
  lab.plane.events.find((event) => event.application === app && event.reason.code === code)?.reason.args;
const settings = { adoption: 'Always' as const };

test(
  'a Helm release is taken over as an upgrade; helm uninstall then finds nothing and deletes nothing',
  { skip: helmPath === undefined ? 'no helm was built here' : false },
  async () => {
    const { plane, namespace } = lab;
    const objects = [configMap('shop', namespace), configMap('shop-more', namespace)];
    await install('shop', objects);
    assert.equal((await helm('upgrade', 'shop', join(lab.stateDir, 'shop'))).code, 0);
    const before = [await lab.configMap('shop'), await lab.configMap('shop-more')].map((live) => live?.metadata.uid);
    const hooks = [
      { manifest: job('shop-install'), events: ['pre-install' as const] },
      { manifest: job('shop-upgrade'), events: ['pre-upgrade' as const] },
    ];
    // Left to Helm by the adoption rule: refused before any hook has run.
    await plane.deliver('shop', objects, { hooks });
    const refused = await plane.until('shop', 'refused', (report) => report.problems[0]?.reason.code === 'FL_CLAIM_FOREIGN');
    assert.equal(refused.problems[0]?.reason.args['owner'], `Helm release ${namespace}/shop`);
    await plane.deliver('shop', objects, { hooks, settings });
    await plane.untilReady('shop', 40_000);
    const path = `/apis/batch/v1/namespaces/${namespace}/jobs`;
    assert.equal(await lab.get(`${path}/shop-install`), undefined);
    assert.notEqual(await lab.get(`${path}/shop-upgrade`), undefined);
    const wound = await waitFor('the event', () => said('shop', 'FL_HELM_WOUND_UP'), { timeoutMs: 10_000 });
    assert.equal(wound['release'], `${namespace}/shop`);
    assert.doesNotMatch((await helm('ls', '--all')).text, /shop/);
    const uninstalled = await helm('uninstall', 'shop');
    assert.notEqual(uninstalled.code, 0);
    assert.match(uninstalled.text, /not found/);
    const after = [await lab.configMap('shop'), await lab.configMap('shop-more')].map((live) => live?.metadata.uid);
    assert.deepEqual(after, before);
    // Nor can helm install over it by mistake.
    assert.notEqual((await helm('install', 'shop', join(lab.stateDir, 'shop'))).code, 0);
  },
);

/** A record as Helm's ConfigMap driver stores it. */
function record(release: string, revision: number, objects: readonly Manifest[], status = 'deployed'): Manifest {
  const manifest = objects.map((object) => `---\n# Source: x\n${formatYaml(object)}`).join('\n');
  const packed = gzipSync(Buffer.from(JSON.stringify({ name: release, namespace: lab.namespace, version: revision, manifest })));
  const labels = { owner: 'helm', name: release, version: String(revision), status };
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `sh.helm.release.v1.${release}.v${revision}`, namespace: lab.namespace, labels },
    data: { release: packed.toString('base64') },
  };
}

const ownerOf = async (name: string): Promise<string | undefined> => (await lab.configMap(name))?.metadata.labels?.['owner'];

test('a release of which something is not held stays a release, and is named; until it is held, too', async () => {
  const { plane, namespace } = lab;
  const [one, two] = [configMap('part-one', namespace), configMap('part-two', namespace)];
  await lab.cluster.apply(JSON.stringify(record('part', 1, [one], 'superseded')));
  await lab.cluster.apply(JSON.stringify(record('part', 2, [one, two])));
  await lab.cluster.apply(JSON.stringify(record('other', 1, [configMap('elsewhere', namespace)])));
  const annotations = { 'meta.helm.sh/release-name': 'part', 'meta.helm.sh/release-namespace': namespace };
  for (const object of [one, two]) {
    const metadata = { ...(object['metadata'] as object), annotations };
    await lab.cluster.apply(JSON.stringify({ ...object, metadata }));
  }
  await plane.deliver('part', [one], { settings });
  await plane.untilReady('part');
  const shared = await waitFor('the event', () => said('part', 'FL_HELM_SHARED'), { timeoutMs: 10_000 });
  assert.match(String(shared['object']), /part-two/);
  assert.equal(await ownerOf('sh.helm.release.v1.part.v2'), 'helm');
  await plane.deliver('part', [one, two], { settings });
  await plane.untilReady('part');
  await waitFor('the event', () => said('part', 'FL_HELM_WOUND_UP'), { timeoutMs: 10_000 });
  for (const revision of [1, 2]) {
    const live = await lab.configMap(`sh.helm.release.v1.part.v${revision}`);
    assert.equal(live?.metadata.labels?.['owner'], undefined);
    assert.equal(live?.metadata.labels?.['fairlead.dev/former-owner'], 'helm');
    assert.notEqual(live?.data['release'], undefined, 'nothing of the record is lost');
  }
  assert.equal(await ownerOf('sh.helm.release.v1.other.v1'), 'helm');
});
