import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTestbedDir } from './testbed-dir.ts';

test('a temporary directory is made and removed whole', async () => {
  const dir = await openTestbedDir();
  writeFileSync(join(dir.path, 'anything'), '');
  dir.remove();
  assert.equal(existsSync(dir.path), false);
});

test('a directory that holds anything of others is refused and left alone', async () => {
  const path = mkdtempSync(join(tmpdir(), 'testbed-dir-'));
  try {
    writeFileSync(join(path, 'thesis.tex'), '');
    await assert.rejects(openTestbedDir(path), { code: 'FL_TESTBED_DIR' });
    assert.deepEqual(readdirSync(path), ['thesis.tex']);
  } finally {
    rmSync(path, { recursive: true });
  }
});

test('a directory in use is refused; one whose owner is gone is taken over; what others put in stays', async () => {
  const path = mkdtempSync(join(tmpdir(), 'testbed-dir-'));
  try {
    const dir = await openTestbedDir(path);
    await assert.rejects(openTestbedDir(path), { code: 'FL_TESTBED_DIR' });
    const gone = spawnSync(process.execPath, ['--version']).pid;
    writeFileSync(join(path, 'owner.pid'), String(gone));
    mkdirSync(join(path, 'clusters', 'a'), { recursive: true });
    const again = await openTestbedDir(path);
    assert.deepEqual(readdirSync(path), ['owner.pid']);
    writeFileSync(join(path, 'notes'), '');
    again.remove();
    dir.remove();
    assert.deepEqual(readdirSync(path), ['notes']);
  } finally {
    rmSync(path, { recursive: true });
  }
});
