import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '#base';
import {
  AgentIdentity,
  Cluster,
  conditionOf,
  Delivery,
  DesiredStateRow,
  Event,
  JoinToken,
  RECONCILE_ANNOTATION,
  type Bundle,
} from '#api';
import { AgentClient, newSigner, Refused } from './testing/agent-client.ts';
import { PlaneRooms } from './testing/plane-rooms.ts';

function refusedWith(code: string, status?: number): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Refused, String(error));
    assert.equal(error.code, code);
    if (status !== undefined) assert.equal(error.status, status);
    return true;
  };
}

/** Events about Deliveries of one cluster. */
async function deliveryEvents(plane: PlaneRooms, cluster: string): Promise<readonly Event[]> {
  const fields = [
    { path: 'spec.cluster', operator: '=' as const, value: cluster },
    { path: 'spec.involvedObject.kind', operator: '=' as const, value: 'Delivery' },
  ];
  return (await plane.store.list(Event, { namespace: 'default', fields })).items;
}

const within = { timeoutMs: 10_000, intervalMs: 10 };

describe('the agent protocol', () => {
  let plane: PlaneRooms;
  before(async () => {
    plane = await PlaneRooms.start();
    await plane.createProject();
  });
  after(async () => plane[Symbol.asyncDispose]());

  test('a sealing key that nothing can be sealed to cannot join, and the token stays good', async () => {
    await plane.createCluster('join-key');
    const token = await plane.enroll('join-key');
    for (const sealingKey of [`age1${'q'.repeat(58)}`, 'age1', 'ssh-ed25519 AAAA']) {
      await assert.rejects(plane.client({ sealingKey }).join(token), refusedWith('FL_JOIN_KEY', 400));
    }
    await plane.client().join(token);
  });

  test('joining is idempotent for one key and closed to every other', async () => {
    await plane.createCluster('join');
    const token = await plane.enroll('join');
    const first = plane.client();
    const answer = await first.join(token);
    assert.deepEqual(await first.join(token), answer);
    await assert.rejects(plane.client().join(token), refusedWith('FL_JOIN_USED', 403));
    const [version = '', id = '', , hash = ''] = token.split('.');
    await assert.rejects(plane.client().join([version, id, 'x'.repeat(43), hash].join('.')), refusedWith('FL_JOIN_TOKEN', 403));
    const stored = await plane.store.get(JoinToken, { namespace: '', name: id });
    assert.equal(JSON.stringify(stored).includes(token.split('.')[2] ?? ''), false, 'the secret is not stored');
    const cluster = await plane.store.get(Cluster, { namespace: '', name: 'join' });
    assert.equal(cluster?.status?.kubeSystemUid, first.kubeSystemUid);
    assert.equal(cluster?.status?.agent?.keyId, first.signer.keyId);
  });

  test('an expired token lets nobody in', async () => {
    await plane.createCluster('late');
    const token = await plane.enroll('late');
    const key = { namespace: '', name: token.split('.')[1] ?? '' };
    await plane.update(JoinToken, key, (one) => ({
      ...one,
      spec: { ...one.spec, expiresAt: new Date(Date.now() - 1).toISOString() },
    }));
    await assert.rejects(plane.client().join(token), refusedWith('FL_JOIN_EXPIRED'));
    await assert.rejects(plane.enroll('late', 3601), { code: 'FL_ENROLL_TTL' });
    await assert.rejects(plane.enroll('nowhere'), { code: 'FL_ENROLL_CLUSTER' });
  });

  test('a Cluster stays bound to its kube-system, and one cluster joins once', async () => {
    const agent = await plane.joined('bound');
    const other = plane.client({ kubeSystemUid: 'another-uid' });
    await assert.rejects(other.join(await plane.enroll('bound')), refusedWith('FL_JOIN_OTHER_CLUSTER'));
    await plane.createCluster('bound-again');
    const twice = plane.client({ kubeSystemUid: agent.kubeSystemUid });
    await assert.rejects(twice.join(await plane.enroll('bound-again')), refusedWith('FL_JOIN_TWICE'));
  });

  test('a new key replaces the old one by a new token only', async () => {
    const old = await plane.joined('moved');
    const next = plane.client({ kubeSystemUid: old.kubeSystemUid });
    await next.join(await plane.enroll('moved'));
    await next.sync();
    await waitFor(
      'the old key to be refused',
      () =>
        old.sync().then(
          () => false,
          (error: unknown) => error instanceof Refused && error.code === 'FL_AGENT_REPLACED',
        ),
      within,
    );
    await assert.rejects(old.comeBack(), refusedWith('FL_AGENT_REPLACED', 403));
  });

  test('a delivery goes to its cluster, is fetched, reported and ready', async () => {
    const agent = await plane.joined('way');
    const digest = await plane.deliver('web', 1, ['way'], ['one', 'two']);
    await waitFor(
      'the desired state',
      async () => (await agent.sync(1000)).desired !== undefined && agent.held?.document.applications.length === 1,
      within,
    );
    const [application] = agent.held?.document.applications ?? [];
    assert.equal(application?.bundle, digest);
    const bundle = JSON.parse((await agent.bundle(digest)).toString('utf8')) as Bundle;
    const objects = await agent.objects(bundle.entries.map((entry) => entry.digest));
    assert.equal(objects.size, 2);
    await agent.report([agent.steady('default', 'web')]);
    const ready = await waitFor(
      'the delivery to be ready',
      async () => {
        const delivery = await plane.delivery('web', 'way');
        return delivery !== undefined && conditionOf(delivery, 'Ready')?.status === 'True' ? delivery : undefined;
      },
      within,
    );
    assert.equal(ready.status?.phase, 'Healthy');
    const journey = ready.status?.journey;
    assert.ok(journey?.signedAt !== undefined && journey.fetchedAt !== undefined && journey.healthyAt !== undefined);
    const cluster = await waitFor(
      'the cluster to count it',
      async () => {
        const one = await plane.store.get(Cluster, { namespace: '', name: 'way' });
        return one?.status?.deliveries?.ready === 1 ? one : undefined;
      },
      within,
    );
    assert.equal(conditionOf(cluster, 'Ready')?.status, 'True');
  });

  test('an idle poll is held, ends with a signed head, and wakes at once', async () => {
    const agent = await plane.joined('idle');
    await agent.report([]);
    await waitFor('a first document', async () => (await agent.sync(1000)).desired !== undefined, within);
    const started = performance.now();
    const idle = await agent.sync(300);
    assert.ok(idle.head !== undefined && performance.now() - started >= 290);
    const held = agent.sync(20_000);
    await waitFor('the poll to be held', () => plane.agents.waiting() > 0, within);
    await plane.deliver('api', 1, ['idle']);
    assert.ok((await held).desired !== undefined);
    assert.equal(agent.held?.document.applications[0]?.name, 'api');
  });

  test('request tokens: each once, for one request, by the right key, at the right time', async () => {
    const agent = await plane.joined('tokens');
    let used = '';
    await agent.sync(0, { onToken: (authorization) => (used = authorization) });
    const body = agent.syncRequest(0);
    await assert.rejects(replay(agent, used), refusedWith('FL_AGENT_TOKEN'));

    const text = Buffer.from(JSON.stringify(body));
    const once = agent.token('POST', '/agent/v1/sync', text);
    assert.equal((await agent.send('POST', '/agent/v1/sync', body, { authorization: once })).status, 200);
    await assert.rejects(
      okOf(agent.send('POST', '/agent/v1/sync', body, { authorization: once })),
      refusedWith('FL_AGENT_REPLAY', 401),
    );

    await assert.rejects(
      okOf(agent.send('POST', '/agent/v1/sync', body, { body: Buffer.from(JSON.stringify({ ...body, nonce: 'another' })) })),
      refusedWith('FL_HTTP_BODY_DIGEST', 401),
    );
    await assert.rejects(agent.sync(0, { as: { signer: newSigner() } }), refusedWith('FL_AGENT_REPLACED'));
    await assert.rejects(
      agent.sync(0, { authorization: agent.token('GET', '/agent/v1/sync', text) }),
      refusedWith('FL_AGENT_TOKEN'),
    );
    const forged = once.split('.');
    await assert.rejects(
      agent.sync(0, { authorization: `${forged[0]}.${forged[1]}.${'A'.repeat(86)}` }),
      refusedWith('FL_AGENT_TOKEN'),
    );
    const none = Buffer.from(JSON.stringify({ alg: 'none', kid: agent.signer.keyId })).toString('base64url');
    await assert.rejects(agent.sync(0, { authorization: `Fairlead ${none}.${forged[1]}.` }), refusedWith('FL_AGENT_TOKEN'));
    await assert.rejects(agent.sync(0, { authorization: undefined }), refusedWith('FL_HTTP_UNAUTHENTICATED', 401));
    await assert.rejects(
      agent.sync(0, { authorization: `Bearer ${plane.keys.adminToken.reveal()}` }),
      refusedWith('FL_HTTP_UNAUTHENTICATED', 401),
    );

    agent.clockOffsetMs = -600_000;
    await assert.rejects(agent.sync(), (error: unknown) => {
      assert.ok(refusedWith('FL_AGENT_CLOCK', 401)(error) && error instanceof Refused);
      assert.ok(Math.abs((error.problem.time ?? 0) - Date.now()) < 5_000, 'the plane says its time');
      agent.clockOffsetMs = (error.problem.time ?? 0) - Date.now();
      return true;
    });
    await agent.sync();
  });

  test('an agent reads nothing of another cluster, over any route', async () => {
    const [mine, other] = [await plane.joined('mine'), await plane.joined('other')];
    const digest = await plane.deliver('secret', 1, ['other'], ['of other']);
    await waitFor(
      'the other to hold it',
      async () => (await other.sync(1000)).desired !== undefined && other.held?.document.applications.length === 1,
      within,
    );
    const { entries } = JSON.parse((await other.bundle(digest)).toString('utf8')) as Bundle;
    const object = entries[0]?.digest ?? '';
    const absent = `sha256:${'0'.repeat(64)}`;

    // Content of another cluster answers like content that does not exist.
    for (const [what, unknown] of [[digest, absent] as const]) {
      const [found, missing] = await Promise.all([
        mine.send('GET', `/agent/v1/bundles/${what}`, undefined),
        mine.send('GET', `/agent/v1/bundles/${unknown}`, undefined),
      ]);
      assert.deepEqual([found.status, found.body.toString()], [404, missing.body.toString()]);
    }
    const [found, missing] = await Promise.all([
      mine.send('POST', '/agent/v1/objects', { digests: [object] }),
      mine.send('POST', '/agent/v1/objects', { digests: [absent] }),
    ]);
    assert.deepEqual([found.status, found.body.toString()], [404, missing.body.toString()]);

    // In the name of another cluster: every registered route of this surface that is not public.
    const routes = plane.http.routes.filter((route) => route.surface === 'agent');
    assert.deepEqual(
      routes
        .filter((route) => route.permission.allow === 'public')
        .map((route) => route.path)
        .sort(),
      ['/agent/v1/join', '/agent/v1/keys', '/agent/v1/return'],
    );
    for (const route of routes.filter((one) => one.permission.allow !== 'public')) {
      const path = route.path.replace(':digest', digest);
      const answer = await mine.send(route.method === 'GET' ? 'GET' : 'POST', path, route.method === 'GET' ? undefined : {}, {
        as: { cluster: 'other' },
      });
      assert.equal(answer.status, 403, route.path);
      assert.match(answer.body.toString(), /FL_AGENT_REPLACED/);
    }
    // Naming the other's key does not help without having it.
    const pretender = { ...mine.signer, keyId: other.signer.keyId };
    await assert.rejects(mine.sync(0, { as: { cluster: 'other', signer: pretender } }), refusedWith('FL_AGENT_TOKEN', 401));
    // Nor may an agent use any other surface.
    for (const path of ['/apis/fairlead.dev/v1alpha1/clusters', '/views/v1/fleet', '/metrics', '/agent/v1/nothing']) {
      const { status } = await mine.send('GET', path, undefined);
      assert.ok(status === 401 || status === 403 || status === 404, `${path} ${status}`);
    }

    // What it reports of another cluster's deliveries is not looked at.
    const forged = { ...other.steady('default', 'secret'), health: 'degraded' as const };
    await mine.report([forged], {
      events: [
        {
          id: 'forged',
          at: new Date().toISOString(),
          project: 'default',
          application: 'secret',
          type: 'Warning',
          reason: { code: 'FL_APPLY_FAILED', args: {}, since: '' },
        },
      ],
      retired: [{ id: 'any', result: 'deleted', objects: 1 }],
    });
    assert.deepEqual(await deliveryEvents(plane, 'mine'), []);
    assert.notEqual((await plane.delivery('secret', 'other'))?.status?.phase, 'Degraded');
  });

  test('what is out of bounds is refused, not stored', async () => {
    const agent = await plane.joined('bounds');
    const held = { epoch: 1, seq: 1, digest: 'd' };
    const wrong: unknown[] = [
      agent.syncRequest(0, { held: { ...held, seq: -1 } }),
      agent.syncRequest(0, { held: { ...held, seq: 2 ** 60 } }),
      agent.syncRequest(0, { held: { ...held, digest: 'x'.repeat(1000) } }),
      agent.syncRequest(300_000),
      agent.syncRequest(0, { boot: 'b'.repeat(65) }),
      agent.syncRequest(0, { facts: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`f${index}`, 'v'])) }),
      [],
      'text',
      null,
    ];
    for (const value of wrong) {
      const answer = await agent.send('POST', '/agent/v1/sync', value);
      assert.equal(answer.status, 400, JSON.stringify(value).slice(0, 80));
    }
    const tooMany = Array.from({ length: 5001 }, () => `sha256:${'0'.repeat(64)}`);
    assert.equal((await agent.send('POST', '/agent/v1/objects', { digests: tooMany })).status, 400);
    assert.equal((await agent.send('POST', '/agent/v1/reports', { number: 1e300 })).status, 400);
    assert.equal(
      (
        await agent.send('POST', '/agent/v1/sync', undefined, {
          body: Buffer.alloc(9 * 1024 * 1024, 32),
          authorization: agent.token('POST', '/agent/v1/sync', Buffer.alloc(9 * 1024 * 1024, 32)),
        })
      ).status,
      413,
    );
    await assert.rejects(
      agent.sync(0, { body: Buffer.from('{'), authorization: agent.token('POST', '/agent/v1/sync', Buffer.from('{')) }),
      refusedWith('FL_AGENT_REQUEST', 400),
    );
  });

  test('events are stored once, before they are acknowledged', async () => {
    const agent = await plane.joined('events');
    await plane.deliver('ev', 1, ['events']);
    const event = (id: string) => ({
      id,
      at: new Date().toISOString(),
      project: 'default',
      application: 'ev',
      type: 'Warning' as const,
      reason: {
        code: 'FL_DRIFT_DELETED',
        args: { object: 'ConfigMap web/a', words: 'x'.repeat(9000) },
        since: new Date().toISOString(),
      },
    });
    await agent.report([], { events: [event('a'), event('b')] });
    await agent.report([], { events: [event('b'), event('c')] });
    const [row] = await deliveryEvents(plane, 'events');
    assert.deepEqual(row?.spec.ids, ['a', 'b', 'c']);
    assert.equal(row?.spec.count, 3);
    assert.ok(JSON.stringify(row?.spec.args).length < 5000);
    assert.match(row?.spec.message ?? '', /^ConfigMap web\/a in events was deleted by somebody/);
  });

  test('the state lane: stale is ignored, a difference asks for everything, another boot starts anew', async () => {
    const agent = await plane.joined('lane');
    await plane.deliver('lane', 1, ['lane']);
    await waitFor(
      'the document',
      async () => (await agent.sync(1000)).desired !== undefined && agent.held?.document.applications.length === 1,
      within,
    );
    await agent.report([agent.steady('default', 'lane')]);
    assert.equal(plane.agents.live.lane('lane')?.reports.get('default/lane')?.health, 'healthy');
    await agent.report([agent.steady('default', 'lane', { health: 'progressing' })], { number: 1 });
    assert.equal(
      plane.agents.live.lane('lane')?.reports.get('default/lane')?.health,
      'progressing',
      'the same number again counts',
    );
    await agent.report([agent.steady('default', 'lane')], { number: 7 });
    await agent.report([agent.steady('default', 'lane', { health: 'degraded' })], { number: 6 });
    assert.equal(plane.agents.live.lane('lane')?.reports.get('default/lane')?.health, 'healthy', 'a lower number is stale');
    const answer = await agent.report([], { number: 10, stateDigest: 'sha256:else' });
    assert.equal(answer.resync, true);
    assert.equal(plane.agents.live.lane('lane'), undefined);
    await agent.report([], { number: 11 });
    assert.equal(plane.agents.live.lane('lane')?.reports.size, 1);
    const restarted = await agent.report([], { boot: 'another', number: 1, full: false });
    assert.equal(restarted.resync, true);
    assert.equal(
      plane.agents.live.lane('lane')?.reports.size,
      1,
      'what the former process said stands until the new one has said everything',
    );
  });

  test('asking to reconcile reaches the agent, once per request', async () => {
    const agent = await plane.joined('nudge');
    await plane.deliver('calm', 1, ['nudge']);
    await waitFor(
      'the document',
      async () => (await agent.sync(1000)).desired !== undefined && agent.held?.document.applications.length === 1,
      within,
    );
    const annotate = (value: string) =>
      plane.update(Cluster, { namespace: '', name: 'nudge' }, (one) => ({
        ...one,
        metadata: { ...one.metadata, annotations: { [RECONCILE_ANNOTATION]: value } },
      }));
    await annotate('now');
    await waitFor('the nudge', async () => (await agent.sync(1000)).desired !== undefined, within);
    assert.equal(agent.held?.document.applications[0]?.nudge, 'now');
    const { seq } = agent.held?.position ?? {};
    await annotate('now');
    await agent.sync(200);
    assert.equal(agent.held?.position.seq, seq);
  });

  test('two processes with one identity are named', async () => {
    const agent = await plane.joined('twins');
    const twin = new AgentClient({
      url: plane.url,
      ca: plane.keys.tls.ca,
      signer: agent.signer,
      kubeSystemUid: agent.kubeSystemUid,
      version: '0.2.0',
    });
    try {
      twin.cluster = agent.cluster;
      twin.keySet = agent.keySet;
      await agent.sync();
      await twin.sync();
      assert.equal(plane.agents.live.contact('twins').twins, undefined, 'a restart is no twin');
      await agent.sync();
      const cluster = await waitFor(
        'the cluster to show it',
        async () => {
          const one = await plane.store.get(Cluster, { namespace: '', name: 'twins' });
          return one?.status?.reason?.code === 'FL_CONTACT_TWIN' ? one : undefined;
        },
        within,
      );
      const { message = '' } = conditionOf(cluster, 'Ready') ?? {};
      assert.ok(message.includes(agent.boot) && message.includes(twin.boot) && message.includes('0.2.0'), message);
    } finally {
      twin.close();
    }
  });

  test('retirement: named in the document until acknowledged, then the Delivery goes', async () => {
    const agent = await plane.joined('exit');
    await plane.deliver('bye', 1, ['exit'], ['a', 'b', 'c']);
    await waitFor(
      'the document',
      async () => (await agent.sync(1000)).desired !== undefined && agent.held?.document.applications.length === 1,
      within,
    );
    const key = { namespace: 'default', name: 'bye.exit' };
    const retire = {
      id: 'r-1',
      mode: 'Delete' as const,
      reason: 'TargetExit' as const,
      actor: 'admin/ann',
      at: new Date().toISOString(),
    };
    await plane.update(Delivery, key, (one) => ({
      ...one,
      metadata: { ...one.metadata, generation: 2 },
      spec: { ...one.spec, retire },
    }));
    await waitFor(
      'the retirement',
      async () => (await agent.sync(1000)).desired !== undefined && agent.held?.document.retire.length === 1,
      within,
    );
    assert.deepEqual(agent.held?.document.applications, []);
    assert.equal(agent.held?.document.retire[0]?.maxObjects, 3);
    await agent.report([], { retired: [{ id: 'r-1', result: 'deleted', objects: 3 }] });
    assert.equal(await plane.store.get(Delivery, key), undefined);
    await waitFor(
      'a document without it',
      async () => (await agent.sync(1000)).desired !== undefined && agent.held?.document.retire.length === 0,
      within,
    );
    assert.equal((await plane.store.verifyAudit()).brokenAt, undefined);
    const events = await deliveryEvents(plane, 'exit');
    assert.equal(events.find((one) => one.spec.code === 'FL_RETIRED')?.spec.message, 'exit let go of bye: 3 objects deleted');
  });

  test('deleting a Cluster detaches it for good, until a person enrolls it anew', async () => {
    const agent = await plane.joined('gone');
    await plane.deliver('stay', 1, ['gone']);
    const issued = await waitFor(
      'the document that holds it',
      async () => {
        await agent.sync(1000);
        const bundles = agent.held?.document.applications.map((one) => one.bundle) ?? [];
        return bundles.length === 0 ? undefined : bundles;
      },
      within,
    );
    assert.equal((await plane.store.blobs(issued, 'gone')).size, 1);
    const waiting = agent.sync(20_000);
    await plane.commit({ write: [{ op: 'delete', kind: Cluster, key: { namespace: '', name: 'gone' } }] });
    await assert.rejects(waitDetached(agent, waiting), refusedWith('FL_AGENT_DETACHED', 403));
    await assert.rejects(agent.comeBack(), refusedWith('FL_AGENT_DETACHED', 403));
    const key = { namespace: '', name: 'gone' };
    await waitFor('the tombstone', async () => (await plane.store.get(AgentIdentity, key))?.spec.detached === true, within);
    assert.equal((await plane.store.blobs(issued, 'gone')).size, 0, 'nothing stays issued to a name that another may take');
    await waitFor(
      'what belonged to it to go',
      async () =>
        (await plane.store.get(DesiredStateRow, key)) === undefined && (await plane.delivery('stay', 'gone')) === undefined,
      within,
    );
    await plane.createCluster('gone');
    await assert.rejects(agent.comeBack(), refusedWith('FL_AGENT_DETACHED', 403));
    await agent.join(await plane.enroll('gone'));
    await waitFor('contact', () => agent.sync().then(() => true), within);
  });
});

async function okOf(sent: ReturnType<AgentClient['send']>): Promise<void> {
  const answer = await sent;
  if (answer.status >= 400) throw new Refused(answer.status, JSON.parse(answer.body.toString('utf8')));
}

async function replay(agent: AgentClient, authorization: string): Promise<void> {
  await okOf(agent.send('GET', '/agent/v1/bundles/x', undefined, { authorization }));
}

async function waitDetached(agent: AgentClient, waiting: Promise<unknown>): Promise<void> {
  await waiting;
  await agent.sync();
}
