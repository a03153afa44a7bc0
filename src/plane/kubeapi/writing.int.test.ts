import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { REDACTED, rfc3339 } from '#base';
import { Application, Credential, Event, Project, Release, type PlaneObject } from '#api';
import { StatusError } from '#plane/http';
import { LAST_APPLIED } from './fields/apply.ts';
import { getIn, scalarText, type Json, type JsonObject } from './json.ts';
import { startKubeApiForTest, type TestKubeApi } from './testing/start-kube-api.ts';
import { planeServer, type Server } from './testing/two-servers.ts';

const dir = mkdtempSync(join(tmpdir(), 'fairlead-writing-'));
const base = '/apis/fairlead.dev/v1alpha1';
const apps = `${base}/namespaces/default/applications`;
let plane: TestKubeApi;
let server: Server;
let frozen = false;

before(async () => {
  plane = await startKubeApiForTest({ dir, frozen: () => frozen });
  plane.api.admit(Credential, ({ object, operation }) => {
    if (operation === 'DELETE') return {};
    const credential = object as Credential;
    const { stringData, ...spec } = credential.spec;
    if (stringData === undefined) return {};
    const encryptedData = Object.fromEntries(Object.keys(stringData).map((key) => [key, 'sealed']));
    return { object: { ...credential, spec: { ...spec, encryptedData } }, warnings: ['it was encrypted'] };
  });
  plane.api.admit(Application, ({ object, operation, dryRun, actor }) => {
    if (object.metadata.name === 'refused') return { denied: `not by ${actor}${dryRun ? ', not even dry' : ''}` };
    if (object.metadata.labels?.['bad'] === 'yes') {
      return { violations: [{ field: 'metadata.labels', reason: 'FieldValueForbidden', message: 'no bad ones' }] };
    }
    if (operation !== 'CREATE') return {};
    return { object: { ...object, metadata: { ...object.metadata, finalizers: ['fairlead.dev/deliveries'] } } };
  });
  plane.api.admit(Release, ({ object }) => {
    const number = object.metadata.annotations?.['number'];
    return number === undefined ? {} : { object: { ...object, spec: { ...(object as Release).spec, number: Number(number) } } };
  });
  server = planeServer(plane);
});

after(async () => {
  await plane.stop();
  rmSync(dir, { recursive: true, force: true });
});

function application(name: string, metadata: JsonObject = {}): JsonObject {
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'Application',
    metadata: { name, namespace: 'default', ...metadata },
    spec: { source: { sourceRef: { kind: 'GitRepository', name: 'fleet' } } },
  };
}

test('an admission changes, refuses and forbids', async () => {
  const made = await server('POST', apps, application('admitted'));
  assert.equal(made.status, 201);
  assert.deepEqual(getIn(made.body, 'metadata', 'finalizers'), ['fairlead.dev/deliveries']);
  const refused = await server('POST', apps, application('refused'));
  assert.equal(refused.status, 403);
  assert.match(scalarText(refused.body['message']), /not by admin\/admin/);
  const invalid = await server('POST', apps, application('labelled', { labels: { bad: 'yes' } }));
  assert.equal(invalid.status, 422);
  assert.match(scalarText(invalid.body['message']), /metadata\.labels: Forbidden: no bad ones/);
});

test('a secret reaches neither the store nor the annotation that kubectl keeps it in', async () => {
  const secret = 'correct horse battery staple';
  const credential = {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'Credential',
    metadata: { name: 'git', namespace: 'default' },
    spec: { type: 'basic', stringData: { password: secret } },
  };
  const path = `${base}/namespaces/default/credentials`;
  const annotated = {
    ...credential,
    metadata: { ...credential.metadata, annotations: { [LAST_APPLIED]: `${JSON.stringify(credential)}\n` } },
  };
  for (const answer of [
    await server('POST', path, annotated),
    await server(
      'PATCH',
      `${path}/git`,
      { metadata: { annotations: annotated.metadata.annotations }, spec: { stringData: { password: secret } } },
      'application/merge-patch+json',
    ),
    await server('PATCH', `${path}/git?fieldManager=kubectl&force=true`, credential, 'application/apply-patch+yaml'),
    await server(
      'PATCH',
      `${path}/git?fieldValidation=Strict`,
      { spec: { stringData: { password: secret }, nothing: 1 } },
      'application/merge-patch+json',
    ),
    await server('GET', path),
  ]) {
    assert.ok(!JSON.stringify(answer.body).includes(secret), JSON.stringify(answer.body));
  }
  const stored = await plane.store.get(Credential, { namespace: 'default', name: 'git' });
  assert.deepEqual(stored?.spec.encryptedData, { password: 'sealed' });
  assert.ok(stored?.metadata.annotations?.[LAST_APPLIED]?.includes(REDACTED));
  for await (const batch of plane.store.changes(plane.store.oldestRevision(), [Credential], AbortSignal.timeout(5000))) {
    for (const change of batch) assert.ok(!`${change.before}${change.after}`.includes(secret));
    break;
  }
});

test('without something that encrypts it, a secret is refused', async () => {
  const other = await startKubeApiForTest({ dir: join(dir, 'other') });
  const answer = await planeServer(other)('POST', `${base}/namespaces/default/credentials`, {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'Credential',
    metadata: { name: 'git' },
    spec: { type: 'bearer', stringData: { token: 'secret words' } },
  });
  await other.stop();
  assert.equal(answer.status, 422);
  assert.ok(!JSON.stringify(answer.body).includes('secret words'));
});

const release: PlaneObject = {
  apiVersion: Release.apiVersion,
  kind: Release.kind,
  metadata: { name: 'web.1', namespace: 'default', uid: 'r1', generation: 1, creationTimestamp: rfc3339(0) },
  spec: {
    application: 'web',
    applicationUid: 'u',
    applicationGeneration: 1,
    number: 1,
    source: { kind: 'GitRepository', name: 'fleet', commit: 'abc', committedAt: rfc3339(0) },
    rendererVersion: '1',
    settings: {},
    settingsDigest: 'd',
    bundles: [],
    renderedAt: rfc3339(0),
  },
};

test('what controllers write is read-only for people, but for labels and annotations', async () => {
  await plane.store.commit({ write: [{ op: 'put', kind: Release, object: release }] });
  const path = `${base}/namespaces/default/releases/web.1`;
  const merge = (patch: Json): ReturnType<Server> => server('PATCH', path, patch, 'application/merge-patch+json');
  assert.equal((await merge({ metadata: { annotations: { note: 'good' }, labels: { keep: 'yes' } } })).status, 200);
  const changed = await merge({ spec: { number: 2 } });
  assert.equal(changed.status, 403);
  assert.match(scalarText(changed.body['message']), /change the Application/);
  assert.equal((await merge({ metadata: { finalizers: ['example.com/x'] } })).status, 403);
  assert.equal((await server('PATCH', `${path}/status`, { status: {} }, 'application/merge-patch+json')).status, 403);
  assert.equal((await server('DELETE', path)).status, 405);
  assert.equal(
    (await server('POST', `${base}/namespaces/default/releases`, { ...release, metadata: { name: 'web.2' } } as unknown as Json))
      .status,
    405,
  );
  const inside = plane.api.client({ actor: 'rollouts', internal: true });
  assert.equal((await merge({ metadata: { annotations: { number: '7' } } })).status, 200);
  const answered = await inside.get(Release, 'default', 'web.1');
  assert.deepEqual([answered?.spec.number, answered?.metadata.generation], [7, 2], 'what an admission makes of it is stored');
  await inside.delete(Release, 'default', 'web.1');
  assert.equal(await inside.get(Release, 'default', 'web.1'), undefined);
});

test('a Project that holds something of people is not deleted, and its namespace is it', async () => {
  const create = await server('POST', '/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'team', labels: { a: 'b' } },
  });
  assert.equal(create.status, 201);
  assert.equal((await plane.store.get(Project, { namespace: '', name: 'team' }))?.metadata.labels?.['a'], 'b');
  await server('POST', `${base}/namespaces/team/gitrepositories`, {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'GitRepository',
    metadata: { name: 'fleet' },
    spec: { url: 'https://example.com/x.git' },
  });
  for (const path of ['/api/v1/namespaces/team', `${base}/projects/team`]) {
    const refused = await server('DELETE', path);
    assert.equal(refused.status, 409);
    assert.match(scalarText(refused.body['message']), /still holds gitrepositories fleet/);
  }
  await server('DELETE', `${base}/namespaces/team/gitrepositories/fleet`);
  assert.equal((await server('DELETE', '/api/v1/namespaces/team')).status, 200);
  const gone = await server('POST', `${base}/namespaces/team/gitrepositories`, {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'GitRepository',
    metadata: { name: 'late' },
    spec: { url: 'https://example.com/x.git' },
  });
  assert.equal(gone.status, 404);
  assert.match(scalarText(gone.body['message']), /namespaces "team" not found/);
});

test('creates and the deletion of their Project exclude each other', async () => {
  for (let round = 0; round < 5; round++) {
    await server('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'race' } });
    const repository = (name: string): ReturnType<Server> =>
      server('POST', `${base}/namespaces/race/gitrepositories`, {
        apiVersion: 'fairlead.dev/v1alpha1',
        kind: 'GitRepository',
        metadata: { name },
        spec: { url: 'https://example.com/x.git' },
      });
    const [made, removed] = await Promise.all([repository('a'), server('DELETE', '/api/v1/namespaces/race')]);
    assert.ok((made.status === 201) !== (removed.status === 200), `${made.status} and ${removed.status}`);
    await server('DELETE', `${base}/namespaces/race/gitrepositories/a`);
    await server('DELETE', '/api/v1/namespaces/race');
  }
});

test('updates need the version they are of; patches do not', async () => {
  const made = await server('POST', apps, application('versions'));
  assert.equal(made.status, 201);
  const path = `${apps}/versions`;
  await server('PATCH', path, { metadata: { labels: { a: '1' } } }, 'application/merge-patch+json');
  assert.equal((await server('PUT', path, made.body)).status, 409);
  const patches = await Promise.all(
    Array.from({ length: 12 }, (_none, index) =>
      server('PATCH', path, { metadata: { labels: { [`k${index}`]: 'x' } } }, 'application/merge-patch+json'),
    ),
  );
  assert.deepEqual([...new Set(patches.map((answer) => answer.status))], [200]);
  const labels = getIn((await server('GET', path)).body, 'metadata', 'labels') as JsonObject;
  assert.equal(Object.keys(labels).length, 13);
});

test('generateName makes a name, and every write leaves an audit leaf', async () => {
  const before = await plane.store.verifyAudit();
  const made = await server('POST', apps, { ...application('x'), metadata: { generateName: 'made-' } });
  assert.match(scalarText(getIn(made.body, 'metadata', 'name')), /^made-[a-z0-9]{5}$/);
  const after = await plane.store.verifyAudit();
  assert.equal(after.leaves, before.leaves + 1);
  assert.equal(after.brokenAt, undefined);
});

test('the client inside the process meets the same rules', async () => {
  const client = plane.api.client('self');
  const applied = await client.apply(application('inside'), { fieldManager: 'git' });
  assert.equal(applied.created, true);
  const again = await client.apply(application('inside'), { fieldManager: 'git' });
  assert.equal(again.object.metadata.resourceVersion, applied.object.metadata.resourceVersion);
  const dry = await client.apply({ ...application('dry') }, { fieldManager: 'git', dryRun: true });
  assert.equal(dry.created, true);
  assert.equal(await client.get(Application, 'default', 'dry'), undefined);
  const conflicting = { ...application('inside'), spec: { source: { sourceRef: { kind: 'GitRepository', name: 'other' } } } };
  await assert.rejects(client.apply(conflicting, { fieldManager: 'other' }), (error: unknown) => {
    assert.ok(error instanceof StatusError);
    assert.equal(error.status.code, 409);
    assert.equal(error.status.details?.causes?.[0]?.field, '.spec.source.sourceRef.name');
    return true;
  });
  await assert.rejects(client.create({ ...application('typo'), spec: { sauce: 1 } }), /unknown field "spec.sauce"/);
  await assert.rejects(client.create({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' } }), /no kind "Pod"/);
  assert.equal(await client.delete(Application, 'default', 'nothing'), false);
});

test('events are served as core events and are nobody’s to write', async () => {
  await plane.store.commit({
    write: [
      {
        op: 'put',
        kind: Event,
        object: {
          apiVersion: Event.apiVersion,
          kind: Event.kind,
          metadata: { name: 'e1', namespace: 'default', uid: 'e1', generation: 1, creationTimestamp: rfc3339(0) },
          spec: {
            involvedObject: {
              apiVersion: 'fairlead.dev/v1alpha1',
              kind: 'Application',
              namespace: 'default',
              name: 'web',
              uid: 'u',
            },
            type: 'Warning',
            code: 'FL_RENDER_FAILED',
            args: {},
            message: 'a.yaml:3: no',
            source: 'plane',
            firstAt: rfc3339(0),
            lastAt: rfc3339(0),
            count: 2,
          },
        },
      },
    ],
  });
  const path = '/api/v1/namespaces/default/events';
  const select = (selector: string): ReturnType<Server> => server('GET', `${path}?fieldSelector=${encodeURIComponent(selector)}`);
  const found = await select(
    'involvedObject.name=web,involvedObject.namespace=default,involvedObject.kind=Application,involvedObject.uid=u',
  );
  assert.equal(getIn((found.body['items'] as Json[])[0], 'reason'), 'FL_RENDER_FAILED');
  assert.deepEqual((await select('type=Normal')).body['items'], []);
  assert.equal((await select('nonsense=1')).status, 400);
  assert.equal((await server('POST', path, { apiVersion: 'v1', kind: 'Event', metadata: { name: 'x' } })).status, 405);
});

test('a frozen plane reads and rehearses, and writes nothing', async () => {
  frozen = true;
  try {
    assert.equal((await server('GET', apps)).status, 200);
    assert.equal((await server('POST', `${apps}?dryRun=All`, application('rehearsed'))).status, 201);
    const refused = await server('POST', apps, application('frozen'));
    assert.equal(refused.status, 503);
    assert.match(scalarText(refused.body['message']), /fairlead plane adopt/);
  } finally {
    frozen = false;
  }
});
