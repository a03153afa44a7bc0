import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { seededRng } from '#base';
import { key, Widget, type CreateDatabase } from './contract-kit.ts';

const CHILD = fileURLToPath(new URL('./crash-child.ts', import.meta.url));
const WRITERS = 4;
const KILLS = 12;

/** SIGKILL at random points: every acknowledged commit is there, none is half there. */
export function crashContract(name: string, create: CreateDatabase): void {
  test(`${name}: a killed process loses no acknowledged commit and leaves none half done`, { timeout: 120_000 }, async () => {
    const database = await create();
    const random = seededRng(20260101);
    const acknowledged = new Map<number, number>();
    let revision = 0;
    try {
      for (let round = 0; round < KILLS; round++) {
        const killAfter = Math.floor(random() * 60);
        const child = spawn(process.execPath, [CHILD, JSON.stringify({ location: database.location, writers: WRITERS })], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        let lines = 0;
        for await (const line of createInterface({ input: child.stdout })) {
          const [writer, n, at] = line.split(' ').map(Number);
          if (writer !== undefined && n !== undefined && at !== undefined) {
            acknowledged.set(writer, n);
            revision = Math.max(revision, at);
          }
          if (lines++ === killAfter) child.kill('SIGKILL');
        }
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
        assert.equal(child.signalCode, 'SIGKILL', 'the child ended by itself');
      }
      const store = await database.open();
      assert.ok(store.revision() >= revision);
      const effects = await store.dueEffects(Number.MAX_SAFE_INTEGER, 100);
      let leaves = 0;
      for (let writer = 0; writer < WRITERS; writer++) {
        const left = await store.get(Widget, key(`w${writer}-left`));
        const right = await store.get(Widget, key(`w${writer}-right`));
        assert.ok(left && right);
        const n = left.spec.size ?? 0;
        assert.ok(n >= (acknowledged.get(writer) ?? 0), 'an acknowledged commit is lost');
        assert.equal(right.spec.size, n, 'a commit is half there');
        assert.equal(effects.find((effect) => effect.key === `w${writer}`)?.payload, n);
        const found = await store.list(Widget, { labels: [{ key: 'n', operator: 'In', values: [String(n)] }] });
        assert.ok(found.items.some((item) => item.metadata.name === `w${writer}-left`));
        leaves += n;
      }
      assert.deepEqual(await store.verifyAudit(), { leaves });
      assert.equal(store.revision(), leaves * 2);
      // The log holds every commit, once.
      const stop = new AbortController();
      let previous = 0;
      for await (const batch of store.changes(0, [Widget], stop.signal)) {
        for (const change of batch) assert.equal(change.revision, ++previous);
        if (previous === leaves * 2) stop.abort();
      }
      await store.close();
    } finally {
      await database.destroy();
    }
  });
}
