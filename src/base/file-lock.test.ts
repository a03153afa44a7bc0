import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { withFileLock } from './file-lock.ts';

test('only one holder at a time, and the next one follows', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'file-lock-'));
  try {
    const events: string[] = [];
    const release = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const waited = Promise.withResolvers<void>();
    const first = withFileLock(
      join(dir, 'lock'),
      async () => {
        events.push('first begins');
        held.resolve();
        await release.promise;
        events.push('first ends');
      },
      { timeoutMs: 10_000 },
    );
    await held.promise;
    const second = withFileLock(join(dir, 'lock'), () => Promise.resolve(events.push('second begins')), {
      timeoutMs: 10_000,
      onWait: () => waited.resolve(),
    });
    await waited.promise;
    release.resolve();
    await Promise.all([first, second]);
    assert.deepEqual(events, ['first begins', 'first ends', 'second begins']);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('a failed task frees the lock, and waiting ends with the deadline or the signal', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'file-lock-'));
  const path = join(dir, 'lock');
  try {
    await assert.rejects(
      withFileLock(path, () => Promise.reject(new Error('no luck')), { timeoutMs: 1_000 }),
      /no luck/,
    );
    await withFileLock(
      path,
      async () => {
        await assert.rejects(
          withFileLock(path, () => Promise.resolve(), { timeoutMs: 0 }),
          { code: 'FL_LOCK_HELD' },
        );
        const signal = AbortSignal.abort(new Error('enough'));
        await assert.rejects(
          withFileLock(path, () => Promise.resolve(), { timeoutMs: 10_000, signal }),
          /enough/,
        );
      },
      { timeoutMs: 1_000 },
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});
