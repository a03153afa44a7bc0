import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { newUid, seededRng, silentLog } from '#base';
import { createKubeClient, loadKubeconfig } from '#kube';
import { sharedCluster, uniqueNamespace } from '#testbed';
import { openDirectoryMedium } from './directory-medium.ts';
import type { Medium } from './medium.ts';
import { openSecretMedium } from './secret-medium.ts';
import { openStore, type StateStore } from './store.ts';

const scratch = mkdtempSync(join(tmpdir(), 'fairlead-state-'));
const cluster = await sharedCluster('a');
const space = await uniqueNamespace(cluster, 'agent-state');
const client = createKubeClient({ access: await loadKubeconfig(cluster.kubeconfig), userAgent: 'fairlead-test', log: silentLog });
after(async () => {
  client.close();
  await space[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

const media: Readonly<Record<string, (name: string) => Promise<Medium>>> = {
  directory: (name) => openDirectoryMedium(join(scratch, name)),
  secrets: (name) => openSecretMedium({ client, namespace: space.name, name }),
};

const text = (store: StateStore, key: string): string | undefined => store.get(key)?.toString('utf8');
const put = (values: Readonly<Record<string, string | Uint8Array | undefined>>): Map<string, Uint8Array | undefined> =>
  new Map(Object.entries(values).map(([key, value]) => [key, typeof value === 'string' ? Buffer.from(value) : value]));

test('a lock is in use while its process lives; one whose id another process has now is left over', async () => {
  const directory = join(scratch, `lock-${newUid()}`);
  await (await openDirectoryMedium(directory)).close();
  const lock = (started: string | undefined): void =>
    writeFileSync(join(directory, 'lock.json'), JSON.stringify({ pid: process.ppid, host: hostname(), started }));
  lock(undefined);
  await assert.rejects(openDirectoryMedium(directory), { code: 'FL_STATE_LOCKED' });
  lock('an earlier boot');
  await (await openDirectoryMedium(directory)).close();
});

for (const [kind, open] of Object.entries(media)) {
  test(`${kind}: what was committed is there after opening it again, and what was removed is not`, async () => {
    const name = `s-${newUid()}`;
    const store = await openStore({ medium: await open(name) });
    assert.deepEqual(store.keys(), []);
    await store.commit(put({ a: '1', b: '2', 'x/1': 'one' }));
    await store.commit(put({ a: '3', b: undefined }));
    await store.close();
    const again = await openStore({ medium: await open(name) });
    assert.equal(text(again, 'a'), '3');
    assert.equal(text(again, 'b'), undefined);
    assert.deepEqual(again.keys('x/'), ['x/1']);
    await again.close();
  });

  test(`${kind}: large content goes into segments, is compacted, and every value survives`, async () => {
    const name = `s-${newUid()}`;
    const rng = seededRng(3);
    let store = await openStore({ medium: await open(name) });
    const expected = new Map<string, string>();
    for (let round = 0; round < 14; round += 1) {
      const changes = new Map<string, Uint8Array | undefined>();
      for (let index = 0; index < 40; index += 1) {
        const key = `object/${Math.floor(rng() * 100)}`;
        // Random bytes, so that packing gains nothing.
        const value = Buffer.from(Array.from({ length: 6000 }, () => Math.floor(rng() * 256))).toString('base64');
        const isGone = rng() < 0.2;
        changes.set(key, isGone ? undefined : Buffer.from(value));
        if (isGone) expected.delete(key);
        else expected.set(key, value);
      }
      await store.commit(changes);
      if (round % 5 === 4) {
        await store.close();
        store = await openStore({ medium: await open(name) });
      }
    }
    assert.deepEqual(new Map(store.keys().map((key) => [key, text(store, key)])), expected);
    await store.close();
    const last = await openStore({ medium: await open(name) });
    assert.deepEqual(new Map(last.keys().map((key) => [key, text(last, key)])), expected);
    await last.close();
  });

  test(`${kind}: commits made at once become one write`, async () => {
    const store = await openStore({ medium: await open(`s-${newUid()}`) });
    await Promise.all(Array.from({ length: 50 }, (_, index) => store.commit(put({ [`k${index}`]: 'v' }))));
    assert.equal(store.keys().length, 50);
    assert.ok(store.stats.commits < 5, `${store.stats.commits} writes`);
    await store.close();
  });

  test(`${kind}: power lost between a segment and its pointer: the state of before, and nothing is left lying around`, async () => {
    const name = `s-${newUid()}`;
    const first = await openStore({ medium: await open(name) });
    await first.commit(put({ kept: 'yes' }));
    await first.close();
    const medium = await open(name);
    await medium.readPointer();
    await medium.writeSegment('stray', Buffer.from('half a thought'));
    await medium.close();
    const again = await openStore({ medium: await open(name) });
    assert.equal(text(again, 'kept'), 'yes');
    await again.close();
    const left = await open(name);
    assert.deepEqual(await left.listSegments(), []);
    await left.close();
  });
}

test('secrets: of two writers the second is refused, and its store writes no more', async () => {
  const open = media['secrets'];
  assert.ok(open !== undefined);
  const name = `s-${newUid()}`;
  const one = await openStore({ medium: await open(name) });
  await one.commit(put({ a: '1' }));
  const two = await openStore({ medium: await open(name) });
  await two.commit(put({ a: '2' }));
  await assert.rejects(one.commit(put({ a: '3' })), { code: 'FL_STATE_CONFLICT' });
  await assert.rejects(one.commit(put({ a: '4' })), { code: 'FL_STATE_CONFLICT' });
  const after = await openStore({ medium: await open(name) });
  assert.equal(text(after, 'a'), '2');
});

test('directory: a second process is kept out, a lock left over is not; damage is found', async () => {
  const directory = join(scratch, 'locked');
  const medium = await openDirectoryMedium(directory);
  await assert.rejects(openDirectoryMedium(directory), { code: 'FL_STATE_LOCKED' });
  const store = await openStore({ medium });
  await store.commit(put({ big: Buffer.alloc(200_000, 1) }));
  await store.close();
  writeFileSync(join(directory, 'lock.json'), JSON.stringify({ pid: 2 ** 22 - 1, host: 'elsewhere' }));
  const segment = readdirSync(directory).find((name) => name.endsWith('.segment')) ?? '';
  assert.notEqual(segment, '');
  writeFileSync(join(directory, segment), 'nonsense');
  const again = await openDirectoryMedium(directory);
  await assert.rejects(openStore({ medium: again }), { code: 'FL_STATE_CORRUPT' });
  await again.close();
});
