import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { openKeySet, signingKeys } from '#api';
import { FairleadError, FakeClock, systemClock } from '#base';
import { openKeys, type PlaneKeys } from './open-keys.ts';

async function withDir(
  work: (dir: string, open: (names?: readonly string[]) => Promise<PlaneKeys>) => Promise<void>,
): Promise<void> {
  const dir = join(mkdtempSync(join(tmpdir(), 'fairlead-keys-')), 'keys');
  try {
    await work(dir, (serverNames = []) => openKeys({ dir, clock: systemClock, serverNames }));
  } finally {
    rmSync(join(dir, '..'), { recursive: true, force: true });
  }
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof FairleadError && error.code === code;
}

test('a second start finds the same identity', async () => {
  await withDir(async (_dir, open) => {
    const first = await open();
    const second = await open();
    assert.equal(second.planeId, first.planeId);
    assert.equal(second.rootHash, first.rootHash);
    assert.equal(second.signer.keyId, first.signer.keyId);
    assert.equal(second.tls.cert, first.tls.cert);
    assert.deepEqual(second.keySetEnvelope, first.keySetEnvelope);
    assert.deepEqual(second.derive('seed', 'a', 'b'), first.derive('seed', 'a', 'b'));
    assert.equal(first.isAdminToken(second.adminToken.reveal()), true);
    assert.equal(first.isAdminToken('guess'), false);
  });
});

test('files are for their owner alone, and so must be the directory', async () => {
  await withDir(async (dir, open) => {
    await open();
    for (const name of readdirSync(dir)) assert.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
    // As a kubelet leaves a volume of a pod with fsGroup.
    chmodSync(dir, 0o2770);
    await open();
    assert.equal(statSync(dir).mode & 0o777, 0o700);
    chmodSync(dir, 0o755);
    await assert.rejects(open(), hasCode('FL_KEYS_MODE'));
  });
});

test('a lost file is refused, never replaced in silence', async () => {
  await withDir(async (dir, open) => {
    await open();
    for (const name of ['root.pem', 'signing.pem', 'master', 'authority.json', 'admin-token']) {
      renameSync(join(dir, name), join(dir, 'elsewhere'));
      await assert.rejects(open(), hasCode('FL_KEYS_MISSING'), name);
      renameSync(join(dir, 'elsewhere'), join(dir, name));
    }
  });
});

test('agents can check the key set by the root hash alone, and a rotated key overlaps with its predecessor', async () => {
  await withDir(async (_dir, open) => {
    const before = await open();
    const first = openKeySet(before.keySetEnvelope, before.rootHash);
    assert.equal(first.version, 1);
    const keyId = before.signer.keyId;
    const envelope = before.keySetEnvelope;
    before.rotateSigningKey({ revoke: false });
    const after = await open();
    const second = openKeySet(after.keySetEnvelope, before.rootHash, first.version);
    assert.equal(second.version, 2);
    assert.notEqual(after.signer.keyId, keyId);
    assert.deepEqual([...signingKeys(second).keys()], [after.signer.keyId, keyId]);
    assert.throws(() => openKeySet(envelope, before.rootHash, 2), hasCode('FL_KEYSET_OLD'));
    assert.throws(() => openKeySet(before.keySetEnvelope, 'ff'.repeat(16)), hasCode('FL_KEYSET_ROOT'));
  });
});

test('a rotation is taken over by other processes; former keys prove what they signed, until they are revoked', async () => {
  await withDir(async (_dir, open) => {
    const [one, two] = [await open(), await open()];
    const { keyId: first } = one.signer;
    let told = 0;
    const stop = new AbortController();
    two.onRotation(() => (told += 1), stop.signal);
    assert.equal(two.takeOverRotation(), false);
    one.rotateSigningKey({ revoke: false });
    const { keyId: second } = one.signer;
    assert.equal(two.signer.keyId, first, 'until it looks');
    assert.equal(two.takeOverRotation(), true);
    // The other one rotates from there.
    two.rotateSigningKey({ revoke: false });
    const { keyId: third } = two.signer;
    assert.equal(told, 2);
    stop.abort();
    for (const keys of [two, await open()]) {
      assert.equal(keys.signer.keyId, third);
      assert.equal(keys.keySet.version, 3);
      assert.deepEqual([...signingKeys(keys.keySet).keys()], [third, second], 'agents accept the last two');
      assert.deepEqual([...keys.verifyKeys.keys()].toSorted(), [first, second, third].toSorted());
    }
    assert.equal(one.takeOverRotation(), true);
    one.rotateSigningKey({ revoke: true });
    for (const keys of [one, await open()]) {
      assert.deepEqual([...keys.verifyKeys.keys()], [one.signer.keyId]);
      assert.deepEqual([...signingKeys(keys.keySet).keys()], [one.signer.keyId]);
      assert.equal(keys.keySet.version, 4);
    }
    assert.equal(told, 2, 'nobody is told after the end');
  });
});

test('what is encrypted for one object opens for no other, and not when a byte has changed', async () => {
  await withDir(async (_dir, open) => {
    const keys = await open();
    const text = keys.encrypt('Credential/default/git/password', 'hunter2');
    assert.equal(text.includes('hunter2'), false);
    assert.equal(keys.decrypt('Credential/default/git/password', text).reveal(), 'hunter2');
    assert.throws(() => keys.decrypt('Credential/evil/git/password', text), hasCode('FL_KEYS_DECRYPT'));
    const changed = `${text.slice(0, -2)}${text.at(-2) === 'A' ? 'B' : 'A'}${text.at(-1) ?? ''}`;
    assert.throws(() => keys.decrypt('Credential/default/git/password', changed), hasCode('FL_KEYS_DECRYPT'));
  });
});

test('derived secrets differ by purpose and cannot be confused by moving a border between parts', async () => {
  await withDir(async (_dir, open) => {
    const keys = await open();
    const all = [
      keys.derive('seed', 'ab', 'c'),
      keys.derive('seed', 'a', 'bc'),
      keys.derive('equality', 'ab', 'c'),
      keys.derive('seed', 'abc'),
    ];
    assert.equal(new Set(all.map((bytes) => bytes.toString('hex'))).size, all.length);
  });
});

test('keys belong to one database, until they are told otherwise', async () => {
  await withDir(async (_dir, open) => {
    const keys = await open();
    assert.equal(keys.checkInstance('one'), 'first');
    keys.bind('one');
    assert.equal(keys.checkInstance('one'), 'bound');
    assert.equal((await open()).checkInstance('two'), 'foreign');
  });
});

test('the certificate is renewed when a name is added; the authority stays', async () => {
  await withDir(async (_dir, open) => {
    const before = await open();
    const after = await open(['plane.example.com', '192.0.2.7']);
    assert.notEqual(after.tls.cert, before.tls.cert);
    assert.equal(after.tls.ca, before.tls.ca);
    assert.equal((await open(['plane.example.com'])).tls.cert, after.tls.cert);
  });
});

test('two processes renew the certificate two months before its end, and come to the same one with the names of both', async () => {
  await withDir(async (dir) => {
    const clock = new FakeClock(Date.now());
    const open = (name: string): Promise<PlaneKeys> => openKeys({ dir, clock, serverNames: [name] });
    const [one, two] = [await open('one.example'), await open('two.example')];
    const agree = async (): Promise<X509Certificate> => {
      // Each looks as often as the other; at the same time, too.
      for (let round = 0; round < 3; round++) await Promise.all([one.renewTls(), two.renewTls()]);
      assert.equal(one.tls.cert, two.tls.cert);
      assert.equal(await one.renewTls(), false, 'nobody takes turns');
      assert.equal(await two.renewTls(), false, 'nobody takes turns');
      const found = new X509Certificate(one.tls.cert);
      for (const name of ['one.example', 'two.example', 'localhost']) assert.ok(found.checkHost(name), name);
      assert.ok(found.checkPrivateKey(createPrivateKey(one.tls.key.reveal())));
      return found;
    };
    const first = await agree();
    await clock.advance(304 * 86_400_000);
    assert.equal((await agree()).serialNumber, first.serialNumber);
    await clock.advance(2 * 86_400_000);
    assert.equal(await one.renewTls(), true);
    const second = await agree();
    assert.ok(Date.parse(second.validTo) > clock.now() + 360 * 86_400_000);
    assert.equal(one.tls.ca, two.tls.ca);
    const third = await openKeys({ dir, clock });
    assert.equal(third.tls.cert, one.tls.cert, 'and one that starts later has it, too');
  });
});

test('nothing secret has a printable form', async () => {
  await withDir(async (_dir, open) => {
    const keys = await open();
    const printed = `${inspect(keys, { depth: 9 })}${JSON.stringify(keys)}`;
    assert.equal(printed.includes(keys.adminToken.reveal()), false);
    assert.equal(printed.includes('PRIVATE KEY'), false);
  });
});

test('a text cut short of its whole tag is refused', async () => {
  await withDir(async (_dir, open) => {
    const keys = await open();
    const bytes = Buffer.from(keys.encrypt('c', '').slice('fle1:'.length), 'base64url');
    // The first bytes of a tag are a valid shorter tag of the same text.
    for (const tagBytes of [4, 8, 12, 15]) {
      const text = `fle1:${bytes.subarray(0, 12 + tagBytes).toString('base64url')}`;
      assert.throws(() => keys.decrypt('c', text), hasCode('FL_KEYS_DECRYPT'), `${tagBytes} bytes`);
    }
    assert.equal(keys.decrypt('c', keys.encrypt('c', '')).reveal(), '');
  });
});

test('the revision floor is remembered, and one that cannot be read is refused', async () => {
  await withDir(async (dir, open) => {
    const keys = await open();
    assert.equal(keys.revisionFloor.read(), 0);
    keys.revisionFloor.reserve(1_000_000);
    assert.equal((await open()).revisionFloor.read(), 1_000_000);
    for (const text of ['', 'x', '-1', '1e400']) {
      writeFileSync(join(dir, 'revision-floor'), text);
      assert.throws(() => keys.revisionFloor.read(), hasCode('FL_KEYS_FLOOR'), text);
    }
  });
});

test('what a crash left half made is made whole at the next start', async () => {
  const files = ['master', 'admin-token', 'authority.json', 'root.pem', 'signing.pem'];
  for (const lost of files) {
    await withDir(async (dir, open) => {
      await open();
      // As if the first start had ended before this file, and before the plane id, which comes last.
      rmSync(join(dir, lost));
      rmSync(join(dir, 'plane-id'));
      rmSync(join(dir, 'key-set.json'));
      rmSync(join(dir, 'server.json'));
      const keys = await open();
      assert.equal(openKeySet(keys.keySetEnvelope, keys.rootHash).version, 1);
      assert.equal((await open()).planeId, keys.planeId);
    });
  }
});
