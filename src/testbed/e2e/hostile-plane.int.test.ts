import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  Cluster,
  conditionOf,
  payloadTypes,
  seal,
  signerFromPem,
  type DesiredState,
  type Envelope,
  type SyncResponse,
} from '#api';
import { must, waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { newSigner } from '../../plane/agents/testing/agent-client.ts';
import { configMapYaml, Fleet } from './fleet.ts';
import { HostileProxy, type ProxyAnswer } from './hostile-proxy.ts';
import { Witness } from './witness.ts';

const skip = testbedMissing();
let fleet: Fleet;
let proxy: HostileProxy;
let witness: Witness;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { dev: { on: 'a', isLate: true }, eu: { on: 'b', isLate: true } },
    agentArgs: ['--lease-duration', '10'],
  });
  proxy = await HostileProxy.start(fleet.planeUrl, fleet.planeDir);
  fleet.agentPlaneUrl = proxy.url;
  for (const cluster of ['dev', 'eu']) await fleet.enroll(cluster);
  await fleet.commit({ 'web/one.yaml': configMapYaml('one', { n: '1' }) });
  await fleet.application('web');
  for (const cluster of ['dev', 'eu']) await fleet.ready('web', cluster);
  const second = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { n: '2' }) });
  for (const cluster of ['dev', 'eu']) await fleet.ready('web', cluster, second);
  witness = await Witness.of(fleet.member('dev').handle.kubeconfig, fleet.ns('web'));
});

after(async () => {
  await witness?.[Symbol.asyncDispose]();
  await fleet?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
});

const json = (value: unknown): ProxyAnswer => ({ status: 200, body: Buffer.from(JSON.stringify(value)) });
const documentIn = (envelope: Envelope): DesiredState =>
  JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8')) as DesiredState; // as the plane signed it

/** Every desired state that passed, oldest first. */
function issued(cluster: string): Envelope[] {
  return proxy.seen.flatMap(({ request, answer }) => {
    if (request.path !== '/agent/v1/sync') return [];
    const { desired } = JSON.parse(answer.body.toString('utf8')) as SyncResponse;
    return desired !== undefined && documentIn(desired).cluster === cluster ? [desired] : [];
  });
}

/** Offers `envelope` to every agent that asks, until the plane shows the refusal. */
async function offered(envelope: Envelope, words: RegExp): Promise<void> {
  let asked = 0;
  proxy.instead = ({ path }) => {
    if (path !== '/agent/v1/sync') return undefined;
    asked += 1;
    return json({ desired: envelope } satisfies SyncResponse);
  };
  proxy.cut();
  await waitFor(
    `the refusal ${String(words)} to be shown`,
    async () => {
      const found = await fleet.get(Cluster, { name: 'dev' });
      const message = found === undefined ? undefined : conditionOf(found, 'Ready')?.message;
      if (message === undefined || !words.test(message)) throw new Error(message);
      assert.equal(found?.status?.reason?.code, 'FL_CONTACT_REFUSED');
      return true;
    },
    { timeoutMs: 60_000 },
  );
  assert.ok(asked > 0);
}

/** With an honest way to the plane again everything is fine again, by itself. */
async function honest(): Promise<void> {
  proxy.instead = undefined;
  proxy.change = undefined;
  proxy.cut();
  await waitFor(
    'dev to be ready again',
    async () => {
      const found = await fleet.get(Cluster, { name: 'dev' });
      if (found?.status?.reason?.code !== 'FL_CLUSTER_READY') throw new Error(JSON.stringify(found?.status?.reason));
      return true;
    },
    { timeoutMs: 60_000 },
  );
}

const unchanged = async (): Promise<void> => {
  assert.equal((await fleet.configMap('dev', fleet.ns('web'), 'one'))?.data?.['n'], '2');
  assert.deepEqual(witness.wentBack(), []);
  assert.deepEqual(witness.deleted, []);
};

test(
  'what a replay, a forger, a stranger or a plane from the future says is refused, shown, and over when it is over',
  { skip, timeout: 300_000 },
  async (t) => {
    const documents = issued('dev');
    const newest = must(documents.at(-1), 'a document passed');
    const older = must(documents.at(-2), 'an older document passed');
    const signer = signerFromPem(readFileSync(join(fleet.planeDir, 'keys', 'signing.pem'), 'utf8'));
    const resealed = (changes: Partial<DesiredState>, by = signer): Envelope =>
      seal(
        payloadTypes.desired,
        Buffer.from(JSON.stringify({ ...documentIn(newest), seq: documentIn(newest).seq + 10, ...changes })),
        [by],
      );

    await t.test('replayed: an older document with its good signature', async () => {
      await offered(older, /it holds .* already/);
      await unchanged();
      await honest();
    });
    await t.test('tampered: another payload under the signature', async () => {
      const forged = { ...documentIn(newest), seq: documentIn(newest).seq + 10, applications: [] };
      await offered(
        { ...newest, payload: Buffer.from(JSON.stringify(forged)).toString('base64') },
        /refused a document|signature/,
      );
      await unchanged();
      await honest();
    });
    await t.test('forged: a document signed by a key of nobody', async () => {
      await offered(resealed({ applications: [] }, newSigner()), /refused a document|signature/);
      await unchanged();
      await honest();
    });
    await t.test('foreign: the document of another cluster of the same plane', async () => {
      await offered(must(issued('eu').at(-1), 'eu has one'), /document for cluster eu/);
      await unchanged();
      await honest();
    });
    await t.test('foreign: of another plane that has stolen the key, or for another kube-system', async () => {
      await offered(resealed({ planeId: 'another', applications: [] }), /document for plane another/);
      await offered(resealed({ kubeSystemUid: 'another', applications: [] }), /document for kube-system another/);
      await unchanged();
      await honest();
    });
    await t.test('unknown-critical: signed by the plane, and needing what this agent does not know', async () => {
      await offered(resealed({ crit: ['time-travel'], applications: [] }), /time-travel/);
      await unchanged();
      await honest();
    });
    await t.test('frozen: the same answer again and again, to new questions', async () => {
      const heads = proxy.seen.filter(
        ({ request, answer }) => request.path === '/agent/v1/sync' && answer.body.includes('"head"'),
      );
      const old = must(heads.at(-1), 'a head passed').answer;
      proxy.instead = ({ path }) => (path === '/agent/v1/sync' ? old : undefined);
      proxy.cut();
      await waitFor(
        'the replayed head to be shown',
        async () => (await fleet.get(Cluster, { name: 'dev' }))?.status?.reason?.code === 'FL_CONTACT_REFUSED',
        { timeoutMs: 60_000 },
      );
      await unchanged();
      await honest();
    });
    await t.test('spoiled: objects whose bytes are not their digest', async () => {
      proxy.change = (request, answer) =>
        request.path === '/agent/v1/objects'
          ? { ...answer, body: Buffer.from(answer.body.toString('latin1').replaceAll('"3"', '"9"'), 'latin1') }
          : answer;
      const third = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { n: '3' }) });
      await waitFor(
        'the spoiled content to be named',
        async () => {
          const delivery = await fleet.delivery('web', 'dev');
          if (delivery?.status?.reason?.code !== 'FL_DOCUMENT_DIGEST') throw new Error(JSON.stringify(delivery?.status?.reason));
          return true;
        },
        { timeoutMs: 60_000 },
      );
      await unchanged();
      proxy.change = undefined;
      await fleet.ready('web', 'dev', third);
      assert.deepEqual(witness.wentBack(), []);
      await honest();
    });
  },
);
