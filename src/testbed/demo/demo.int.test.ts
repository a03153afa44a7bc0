import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import type { DemoDescription } from './demo.ts';

const root = resolve(import.meta.dirname, '..', '..', '..');

/** Processes that name `text` in their command line. */
function processesOf(text: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return line.includes(text) ? [line] : [];
    } catch {
      return [];
    }
  });
}

test(
  'npm run demo without a person: everything healthy, described in a file, and gone after SIGTERM',
  { skip: testbedMissing() },
  async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'fairlead-demo-test-'));
    const out = join(dir, 'demo.json');
    const data = join(dir, 'data');
    const started = performance.now();
    const demo = spawn('npm', ['run', 'demo', '--silent', '--', '--headless', '--out', out, '--data', data], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    demo.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
    demo.stdout.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
    const exited = new Promise<number | null>((done) => {
      demo.on('exit', (code) => done(code));
    });
    try {
      const description = await waitFor(
        'the demo to be ready',
        () => {
          assert.equal(demo.exitCode, null, said);
          return JSON.parse(readFileSync(out, 'utf8')) as DemoDescription;
        },
        { timeoutMs: 240_000, intervalMs: 200 },
      );
      t.diagnostic(`ready after ${((performance.now() - started) / 1000).toFixed(1)} s`);
      assert.deepEqual(
        description.clusters.map((cluster) => cluster.name),
        ['dev', 'prod-eu', 'prod-us'],
      );
      assert.match(said, /3 clusters, 7 deliveries: all are what Git says/);
      for (const pid of [description.plane.pid, ...description.clusters.map((cluster) => cluster.agentPid)]) process.kill(pid, 0);
      assert.equal(statSync(description.plane.tokenFile).mode & 0o777, 0o600);
      assert.equal(statSync(description.plane.kubeconfig).mode & 0o777, 0o600);
      const page = await fetch(description.console.url);
      assert.equal(page.status, 200);
      assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'|default-src 'self'/);

      demo.kill('SIGTERM');
      // npm hands the signal on and then ends by it itself.
      await exited;
      await waitFor('every process to be gone', () => processesOf(dir).length === 0, { timeoutMs: 60_000 });
    } finally {
      demo.kill('SIGKILL');
      rmSync(dir, { recursive: true, force: true });
    }
  },
);
