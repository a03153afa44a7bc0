import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { jsonLog } from '#base';
import { createRenderer, type Renderer } from './renderer.ts';
import { bodyOf, briefly, builtModule, configMap, errorsOf, objectsOf, requestOf } from './testing.ts';
import type { Recipient, RenderedObject, SealedObject } from './types.ts';

const canary = 'hunter2-canary';
const canaries = [canary, Buffer.from(canary).toString('base64'), Buffer.from(canary).toString('hex')];
let log = '';
let renderer: Renderer;
before(async () => {
  renderer = await createRenderer({
    wasmPath: await builtModule(),
    log: jsonLog({ level: 'debug', write: (line) => void (log += line) }),
  });
});
after(() => renderer.stop());

const secret = `apiVersion: v1
kind: Secret
metadata:
  name: db
  namespace: shop
  annotations:
    note: kept
    kubectl.kubernetes.io/last-applied-configuration: '{"stringData":{"password":"${canary}"}}'
type: Opaque
data:
  user: YWRtaW4=
stringData:
  password: ${canary}
`;

interface Owner {
  readonly recipient: Recipient;
  readonly open: (sealed: Uint8Array) => Promise<string>;
}

async function owner(cluster: string, equalityKey: string): Promise<Owner> {
  const identity = await generateX25519Identity();
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return {
    recipient: { cluster, equalityKey, ageRecipient: await identityToRecipient(identity) },
    open: (sealed) => decrypter.decrypt(sealed, 'text'),
  };
}

function sealedOf(object: RenderedObject | undefined): SealedObject {
  assert.ok(object?.sensitive);
  return object;
}

test('each recipient opens its own copy and no other; what is left is redacted', async () => {
  const a = await owner('edge-1', '0a'.repeat(32));
  const b = await owner('edge-2', '0b'.repeat(32));
  const request = requestOf({ 's.yaml': secret, 'c.yaml': configMap('plain') }, { recipients: [a.recipient, b.recipient] });
  const result = await renderer.render(request);
  const objects = objectsOf(result);
  const object = sealedOf(objects.find((o) => o.id.kind === 'Secret'));
  const clear =
    `{"apiVersion":"v1","data":{"password":"${Buffer.from(canary).toString('base64')}","user":"YWRtaW4="},` +
    '"kind":"Secret","metadata":{"annotations":{"note":"kept"},"name":"db","namespace":"shop"},"type":"Opaque"}';
  const [forA, forB] = object.sealed;
  assert.ok(forA !== undefined && forB !== undefined);
  assert.deepEqual([forA.cluster, forB.cluster], ['edge-1', 'edge-2']);
  assert.equal(await a.open(forA.bytes), clear);
  assert.equal(await b.open(forB.bytes), clear);
  await assert.rejects(a.open(forB.bytes));
  assert.equal(forA.equality, createHmac('sha256', Buffer.alloc(32, 0x0a)).update(clear).digest('hex'));
  assert.notEqual(forA.equality, forB.equality);
  assert.equal(
    bodyOf(object),
    '{"apiVersion":"v1","data":{"password":"[redacted]","user":"[redacted]"},"kind":"Secret",' +
      '"metadata":{"annotations":{"note":"kept"},"name":"db","namespace":"shop"},"type":"Opaque"}',
  );
  assert.ok(result.ok && result.readSet.hasSecrets);
  const everything = objects.flatMap((o) => [
    bodyOf(o),
    ...(o.sensitive ? o.sealed.map((s) => Buffer.from(s.bytes).toString('latin1')) : []),
  ]);
  for (const text of [...everything, JSON.stringify(result), log]) {
    for (const needle of canaries) assert.ok(!text.includes(needle), 'a secret value left the child in clear');
  }
});

test('equality holds between renders, sealing differs each time', async () => {
  const a = await owner('edge-1', '0a'.repeat(32));
  const seal = async (text: string): Promise<SealedObject['sealed'][number]> => {
    const [object] = objectsOf(await renderer.render(requestOf({ 's.yaml': text }, { recipients: [a.recipient] })));
    const [sealed] = sealedOf(object).sealed;
    assert.ok(sealed);
    return sealed;
  };
  const first = await seal(secret);
  // The same Secret, its values given the other way round.
  const again = await seal(
    secret.replace('user: YWRtaW4=', `password: ${canaries[1]}`).replace(`password: ${canary}`, 'user: admin'),
  );
  const other = await seal(secret.replace(`password: ${canary}`, `password: ${canary}!`));
  assert.equal(again.equality, first.equality);
  assert.notDeepEqual(again.bytes, first.bytes);
  assert.notEqual(other.equality, first.equality);
});

test('a Secret without a recipient is refused by name', async () => {
  const errors = errorsOf(await renderer.render(requestOf({ 's.yaml': `\n${secret}` }, { recipients: [] })));
  assert.deepEqual(
    errors.map((e) => [e.code, e.file, e.line, e.object]),
    [['FL_RENDER_NO_RECIPIENT', 's.yaml', 2, 'Secret shop/db']],
  );
});

test('other kinds that the request calls sensitive show only their metadata', async () => {
  const key = `apiVersion: example.org/v1\nkind: ApiKey\nmetadata: {name: x, namespace: shop}\nspec: {token: ${canary}}\nmore: [${canary}]\n`;
  const a = await owner('edge-1', '0a'.repeat(32));
  const overrides = { recipients: [a.recipient], sensitiveKinds: [{ group: 'example.org', kind: 'ApiKey' }] };
  const [object] = objectsOf(await renderer.render(requestOf({ 'k.yaml': key }, overrides)));
  assert.equal(
    bodyOf(object),
    '{"apiVersion":"example.org/v1","kind":"ApiKey","metadata":{"name":"x","namespace":"shop"},"more":"[redacted]","spec":"[redacted]"}',
  );
  const [sealed] = sealedOf(object).sealed;
  assert.match(await a.open(sealed?.bytes ?? new Uint8Array()), /"spec":\{"token":"hunter2-canary"\}/);
});

test('errors about a Secret name its keys and never its values', async () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    [secret.replace('user: YWRtaW4=', `user: ${canary}`), ['s.yaml:11 secret-data']],
    [secret.replace('user: YWRtaW4=', 'user: 12'), ['s.yaml:11 secret-data']],
    [secret.replace('stringData:\n', `stringData: [${canary}]\nx:\n`), ['s.yaml:12 secret-data']],
    [secret.replace(`password: ${canary}`, `password: *${canary}`), ['s.yaml:13 syntax']],
    [secret.replace(`password: ${canary}`, `password: !${canary} x`), ['s.yaml:13 unknown-tag']],
    [secret.replace(`password: ${canary}`, `password: ${canary}: ${canary}`), ['s.yaml:13 syntax']],
    [secret.replace(`password: ${canary}`, `password: ${canary}\n  password: ${canary}`), ['s.yaml:14 duplicate-key']],
    [secret.replace(`password: ${canary}`, `password: ${canary} \${cluster.labels.nope}`), ['s.yaml:13 variable-unknown']],
    [`${secret}---\n${canary}\n`, ['s.yaml:15 not-an-object']],
    [`${secret}---\n${secret}`, ['s.yaml:15 duplicate-object']],
  ];
  for (const [text, expected] of cases) {
    const errors = errorsOf(await renderer.render(requestOf({ 's.yaml': text }, { substitute: true })));
    assert.deepEqual(briefly(errors), expected);
    // A tag is repeated in its error: it is part of the grammar, and no value.
    const said = JSON.stringify(errors.filter((e) => e.rule !== 'unknown-tag'));
    for (const needle of canaries) assert.ok(!said.includes(needle), said);
  }
  for (const needle of canaries) assert.ok(!log.includes(needle));
});

test('more sealings than the limit are refused', async () => {
  const strict = await createRenderer({
    wasmPath: await builtModule(),
    log: jsonLog({ write: () => undefined }),
    limits: { sealings: 1 },
  });
  try {
    const twice = [await owner('a', '0a'.repeat(32)), await owner('b', '0a'.repeat(32))].map((o) => o.recipient);
    const [error] = errorsOf(await strict.render(requestOf({ 's.yaml': secret }, { recipients: twice })));
    assert.deepEqual([error?.code, error?.rule, error?.limit, error?.value], ['FL_RENDER_LIMIT', 'sealings', 1, 2]);
  } finally {
    strict.stop();
  }
});
