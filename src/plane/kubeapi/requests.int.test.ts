import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startKubeApiForTest, type TestKubeApi } from './testing/start-kube-api.ts';

const dir = mkdtempSync(join(tmpdir(), 'fairlead-requests-'));
const base = '/apis/fairlead.dev/v1alpha1';
const repositories = `${base}/namespaces/default/gitrepositories`;
let plane: TestKubeApi;

before(async () => {
  plane = await startKubeApiForTest({
    dir,
    subresources: [
      {
        plural: 'clusters',
        name: 'enroll',
        kind: 'EnrollResponse',
        verbs: ['create'],
        handle: ({ name, body, actor, dryRun }) =>
          Promise.resolve({ status: 201, object: { kind: 'EnrollResponse', name, body, actor, dryRun } }),
      },
    ],
  });
});

after(async () => {
  await plane.stop();
  rmSync(dir, { recursive: true, force: true });
});

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

function send(
  method: string,
  path: string,
  headers: Record<string, string | string[]> = {},
  body?: string | Buffer,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const request = httpsRequest(
      {
        host: '127.0.0.1',
        port: plane.listener.port,
        // As it is: a URL would be normalised.
        path,
        method,
        ca: plane.caPem,
        agent: false,
        headers: { authorization: `Bearer ${plane.token}`, ...length, ...headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const json = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {};
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

const json = { 'content-type': 'application/json' };
const repository = (name: string): string =>
  JSON.stringify({
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'GitRepository',
    metadata: { name },
    spec: { url: 'https://example.com/x.git' },
  });

test('YAML in and out', async () => {
  const yaml =
    'apiVersion: fairlead.dev/v1alpha1\nkind: GitRepository\nmetadata: {name: yaml}\nspec: {url: "https://example.com/x.git"}\n';
  const made = await send('POST', repositories, { 'content-type': 'application/yaml', accept: 'application/yaml' }, yaml);
  assert.equal(made.status, 201);
  assert.match(made.text, /^apiVersion: fairlead.dev\/v1alpha1\nkind: GitRepository\n/);
  const listed = await send('GET', repositories, { accept: 'application/yaml' });
  assert.match(listed.text, /kind: GitRepositoryList/);
  const twice = await send('POST', repositories, { 'content-type': 'application/yaml' }, 'a: 1\na: 2\n');
  assert.equal(twice.status, 400);
});

test('what cannot be served or read is said so', async () => {
  assert.equal((await send('GET', repositories, { accept: 'application/vnd.kubernetes.protobuf' })).status, 406);
  assert.equal((await send('GET', repositories, { accept: 'application/vnd.kubernetes.protobuf,application/json' })).status, 200);
  assert.equal((await send('POST', repositories, { 'content-type': 'text/html' }, '<p>')).status, 415);
  assert.equal(
    (await send('PATCH', `${repositories}/yaml`, { 'content-type': 'application/strategic-merge-patch+json' }, '{}')).status,
    415,
  );
  assert.equal((await send('POST', repositories, json, '{"a":')).status, 400);
  assert.equal((await send('GET', `${base}/nonsense`)).status, 404);
  assert.equal((await send('GET', '/apis/other.dev/v1/things')).status, 404);
  assert.equal((await send('GET', `${base}/namespaces/default/clusters`)).status, 404);
  assert.equal((await send('POST', `${base}/clusters/x`, json, '{}')).status, 405);
  assert.equal((await send('OPTIONS', repositories)).status, 405);
  const status = (await send('GET', `${repositories}/absent`)).json;
  assert.deepEqual(
    [status['kind'], status['code'], status['reason'], status['message']],
    ['Status', 404, 'NotFound', 'gitrepositories.fairlead.dev "absent" not found'],
  );
});

test('who has no credentials, or claims to be another, gets nothing', async () => {
  const without = await send('GET', repositories, { authorization: 'Bearer wrong' });
  assert.equal(without.status, 401);
  assert.equal(without.json['message'], 'Unauthorized');
  const impersonating = await send('GET', repositories, { 'impersonate-user': 'root' });
  assert.equal(impersonating.status, 403);
  assert.equal((await send('GET', repositories, { 'x-remote-user': 'root' })).status, 403);
  assert.equal((await send('GET', `${base}/../healthz`)).status, 400);
  assert.equal((await send('GET', `${repositories}/a%2fb`)).status, 400);
});

test('options of writes are checked', async () => {
  for (const [query, status] of [
    ['dryRun=All', 201],
    ['dryRun=Some', 422],
    ['fieldValidation=Perhaps', 422],
    [`fieldManager=${'x'.repeat(129)}`, 422],
  ] as const) {
    assert.equal((await send('POST', `${repositories}?${query}`, json, repository('checked'))).status, status, query);
  }
  const apply = { 'content-type': 'application/apply-patch+yaml' };
  assert.equal((await send('PATCH', `${repositories}/applied`, apply, repository('applied'))).status, 422, 'no field manager');
  assert.equal(
    (await send('PATCH', `${repositories}/applied?fieldManager=x`, apply, repository('other'))).status,
    400,
    'another name',
  );
  assert.equal(
    (await send('PATCH', `${repositories}/yaml?force=true`, { 'content-type': 'application/merge-patch+json' }, '{}')).status,
    422,
  );
  const body = JSON.stringify({ ...(JSON.parse(repository('warned')) as object), extra: 1 });
  const warned = await send('POST', `${repositories}?fieldValidation=Warn`, json, body);
  assert.equal(warned.status, 201);
  assert.equal(warned.headers['warning'], '299 - "unknown field \\"extra\\""');
  assert.equal((await send('POST', `${repositories}?fieldValidation=Strict`, json, body)).status, 400);
});

test('a body over the limit is refused before it is read to the end', async () => {
  const big = await send('POST', repositories, json, Buffer.alloc(4 * 1024 * 1024, 0x20));
  assert.equal(big.status, 413);
  const large = JSON.parse(repository('large')) as { metadata: object };
  const annotated = { ...large, metadata: { name: 'large', annotations: { a: 'x'.repeat(300_000) } } };
  assert.equal((await send('POST', repositories, json, JSON.stringify(annotated))).status, 422);
});

test('preconditions of a delete hold', async () => {
  const made = await send('POST', repositories, json, repository('guarded'));
  const metadata = made.json['metadata'] as { uid: string; resourceVersion: string };
  const remove = (preconditions: object): Promise<Reply> =>
    send('DELETE', `${repositories}/guarded`, json, JSON.stringify({ preconditions }));
  assert.equal((await remove({ uid: 'other' })).status, 409);
  assert.equal((await remove({ resourceVersion: '1' })).status, 409);
  assert.equal((await send('DELETE', `${repositories}/guarded`, json, '{"dryRun":["All"]}')).status, 200);
  const gone = await remove({ uid: metadata.uid, resourceVersion: metadata.resourceVersion });
  assert.equal(gone.json['status'], 'Success');
  assert.equal((gone.json['details'] as { uid: string }).uid, metadata.uid);
});

test('pages go on where they ended, at the revision of the first', async () => {
  for (let index = 0; index < 5; index++)
    await send('POST', `${base}/clusters`, json, JSON.stringify({ metadata: { name: `p${index}` } }));
  const names: string[] = [];
  const revisions = new Set<string>();
  let next = '';
  do {
    const page = await send('GET', `${base}/clusters?limit=2${next === '' ? '' : `&continue=${encodeURIComponent(next)}`}`);
    const metadata = page.json['metadata'] as { continue?: string; resourceVersion: string };
    names.push(...(page.json['items'] as { metadata: { name: string } }[]).map((item) => item.metadata.name));
    revisions.add(metadata.resourceVersion);
    next = metadata.continue ?? '';
    await send(
      'PATCH',
      `${base}/clusters/p0`,
      { 'content-type': 'application/merge-patch+json' },
      `{"metadata":{"labels":{"n":"${names.length}"}}}`,
    );
  } while (next !== '');
  assert.deepEqual(names, ['p0', 'p1', 'p2', 'p3', 'p4']);
  assert.equal(revisions.size, 1);
  assert.equal((await send('GET', `${base}/clusters?continue=nonsense`)).status, 400);
});

test('OpenAPI documents are immutable under their hash, and a 304 says so too', async () => {
  const root = (await send('GET', '/openapi/v3')).json['paths'] as Record<string, { serverRelativeURL: string }>;
  const url = root['apis/fairlead.dev/v1alpha1']?.serverRelativeURL ?? '';
  const document = await send('GET', url);
  assert.match(String(document.headers['cache-control']), /immutable/);
  const again = await send('GET', url, { 'if-none-match': String(document.headers.etag) });
  assert.equal(again.status, 304);
  assert.equal(again.headers['cache-control'], document.headers['cache-control']);
  assert.equal(again.headers.expires !== undefined, true);
});

test('metadata alone can be asked for', async () => {
  const accept = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
  const listed = await send('GET', `${base}/clusters`, { accept });
  assert.equal(listed.json['kind'], 'PartialObjectMetadataList');
  assert.deepEqual(Object.keys((listed.json['items'] as object[])[0] ?? {}).sort(), ['apiVersion', 'kind', 'metadata']);
});

test('large answers are compressed for those who can read it', async () => {
  for (let index = 0; index < 60; index++) {
    const object = JSON.parse(repository(`zip-${index}`)) as object;
    await send(
      'POST',
      repositories,
      json,
      JSON.stringify({ ...object, metadata: { name: `zip-${index}`, annotations: { a: 'x'.repeat(3000) } } }),
    );
  }
  const plain = await send('GET', repositories);
  const zipped = await send('GET', repositories, { 'accept-encoding': 'gzip' });
  assert.equal(zipped.headers['content-encoding'], 'gzip');
  assert.ok(Number(zipped.headers['content-length']) < plain.text.length / 5);
  assert.equal((await send('GET', repositories, { 'accept-encoding': 'gzip;q=0' })).headers['content-encoding'], undefined);
});

test('a collection is deleted by selector', async () => {
  const gone = await send('DELETE', `${repositories}?fieldSelector=${encodeURIComponent('metadata.name!=yaml')}`);
  assert.equal(gone.status, 200);
  const left = (await send('GET', repositories)).json['items'] as { metadata: { name: string } }[];
  assert.deepEqual(
    left.map((item) => item.metadata.name),
    ['yaml'],
  );
});

test('a subresource of another room is served and discovered', async () => {
  const path = `${base}/clusters/p0/enroll`;
  const answer = await send('POST', path, json, '{"ttl":5}');
  assert.deepEqual(answer.json, { kind: 'EnrollResponse', name: 'p0', body: { ttl: 5 }, actor: 'admin/admin', dryRun: false });
  assert.equal((await send('GET', path)).status, 405);
  assert.match((await send('GET', base)).text, /"clusters\/enroll"/);
});

test('questions about oneself are answered by the authorizer', async () => {
  const review = (body: object): Promise<Reply> =>
    send(
      'POST',
      '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      json,
      JSON.stringify({ kind: 'SelfSubjectAccessReview', spec: body }),
    );
  const may = async (verb: string, resource: string): Promise<unknown> => {
    const answer = await review({ resourceAttributes: { verb, resource, group: 'fairlead.dev' } });
    return (answer.json['status'] as { allowed: boolean }).allowed;
  };
  assert.deepEqual(
    [await may('create', 'applications'), await may('delete', 'releases'), await may('use', 'agent')],
    [true, false, false],
  );
});
