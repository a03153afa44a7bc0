/** Deadlines, memory, quarantine, recycling, fairness, and what a child can reach. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { jsonLog, waitFor } from '#base';
import { createRenderer, type Renderer, type RendererOptions } from './renderer.ts';
import { briefly, builtModule, configMap, errorsOf, objectsOf, requestOf } from './testing.ts';

async function rendererFor(t: TestContext, options: Partial<RendererOptions> = {}): Promise<Renderer> {
  const renderer = await createRenderer({
    wasmPath: await builtModule(),
    log: jsonLog({ write: () => undefined }),
    poolSize: 1,
    ...options,
  });
  t.after(() => renderer.stop());
  return renderer;
}

const good = requestOf({ 'a.yaml': configMap('ok') });
/** Parsing this takes several times the memory a module may have, and seconds. */
const hungry = requestOf({ 'ok.yaml': configMap('ok'), 'z.yaml': `a: [${'a,'.repeat(2_000_000)}]` });

function isGone(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return true;
  }
}

/** Hundredths of a second of processor time. */
function cpuTicks(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[11]);
}

/** Waits for a good render: on a busy machine a child that is cold may miss a short deadline. */
async function rendersGood(renderer: Renderer): Promise<void> {
  await waitFor('a render within its deadline', async () => (await renderer.render(good)).ok, { timeoutMs: 120_000 });
}

test('a render past its deadline is killed, and the next one works', async (t) => {
  const renderer = await rendererFor(t, { limits: { deadlineMs: 2_500, killsToQuarantine: 1_000 } });
  await rendersGood(renderer);
  const [pid] = renderer.status().pids;
  const [error] = errorsOf(await renderer.render(hungry));
  assert.deepEqual([error?.code, error?.limit], ['FL_RENDER_DEADLINE', 2_500]);
  await waitFor('the child to be gone', () => isGone(pid ?? 0), { timeoutMs: 5_000 });
  await rendersGood(renderer);
});

test('a child that hangs without using the processor is killed at four times the deadline', async (t) => {
  const renderer = await rendererFor(t, { limits: { deadlineMs: 2_500, killsToQuarantine: 1_000 } });
  await rendersGood(renderer);
  const [pid] = renderer.status().pids;
  process.kill(pid ?? 0, 'SIGSTOP');
  const [error] = errorsOf(await renderer.render(good));
  assert.equal(error?.code, 'FL_RENDER_DEADLINE');
  await waitFor('the child to be gone', () => isGone(pid ?? 0), { timeoutMs: 5_000 });
});

test('the module stops at its memory maximum, which names the file', async (t) => {
  const renderer = await rendererFor(t, { limits: { deadlineMs: 60_000, memoryPages: 1_024 } });
  const [error] = errorsOf(await renderer.render(hungry));
  assert.deepEqual([error?.code, error?.file, error?.limit], ['FL_RENDER_MEMORY', 'z.yaml', 64]);
  assert.equal(objectsOf(await renderer.render(good)).length, 1);
});

test('the third kill puts the input into quarantine, and only that input', async (t) => {
  const renderer = await rendererFor(t, { limits: { deadlineMs: 60_000, memoryPages: 512 } });
  for (let i = 0; i < 3; i++) assert.equal(errorsOf(await renderer.render(hungry))[0]?.code, 'FL_RENDER_MEMORY');
  const [error] = errorsOf(await renderer.render(hungry));
  assert.equal(error?.code, 'FL_RENDER_QUARANTINED');
  assert.match(error?.message ?? '', /killed the renderer 3 times and is not tried again before 2/);
  assert.equal(errorsOf(await renderer.render({ ...hungry, project: 'other' }))[0]?.code, 'FL_RENDER_MEMORY');
  assert.equal(objectsOf(await renderer.render(good)).length, 1);
});

test('a child killed from outside costs one render', async (t) => {
  const renderer = await rendererFor(t);
  objectsOf(await renderer.render(good));
  const [pid] = renderer.status().pids;
  process.kill(pid ?? 0, 'SIGSTOP');
  const pending = renderer.render(good);
  process.kill(pid ?? 0, 'SIGKILL');
  assert.equal(errorsOf(await pending)[0]?.code, 'FL_RENDER_CRASHED');
  assert.equal(objectsOf(await renderer.render(good)).length, 1);
});

test('a child serves one project and is replaced after so many renders', async (t) => {
  const renderer = await rendererFor(t, { limits: { rendersPerChild: 2 } });
  const pidsAfter = async (project: string): Promise<number | undefined> => {
    assert.equal(objectsOf(await renderer.render({ ...good, project })).length, 1);
    return renderer.status().pids[0];
  };
  const first = await pidsAfter('a');
  // After its second render the first child is gone; what is left first in the list is the warm one.
  const second = await pidsAfter('a');
  const third = await pidsAfter('a');
  const fourth = await pidsAfter('b');
  assert.notEqual(second, first);
  assert.equal(third, second);
  assert.notEqual(fourth, third);
  await waitFor('the children of project a to be gone', () => isGone(first ?? 0) && isGone(third ?? 0), { timeoutMs: 5_000 });
});

test('projects take turns, in the order in which they came', async (t) => {
  const renderer = await rendererFor(t, { limits: { rendersPerTurn: 1 } });
  const order: string[] = [];
  const renders = ['a', 'a', 'a', 'b', 'a', 'c'].map(async (project, index) => {
    const result = await renderer.render({ ...good, project });
    assert.ok(result.ok);
    order.push(`${project}${index}`);
  });
  await Promise.all(renders);
  assert.deepEqual(order, ['a0', 'a1', 'b3', 'c5', 'a2', 'a4']);
});

test('a full queue answers at once, with when to come back', async (t) => {
  const renderer = await rendererFor(t, { limits: { queued: 2 } });
  const results = await Promise.all(Array.from({ length: 5 }, () => renderer.render(good)));
  assert.equal(results.filter((r) => r.ok).length, 3);
  const refused = results.find((r) => !r.ok);
  assert.ok(refused !== undefined && !refused.ok);
  assert.deepEqual([refused.errors[0]?.code, refused.retryable, refused.retryAfterMs], ['FL_RENDER_BUSY', true, 1_000]);
});

test('a render is cancelled while it waits and while it runs, without blame', async (t) => {
  const renderer = await rendererFor(t, { limits: { killsToQuarantine: 1, memoryPages: 512, deadlineMs: 60_000 } });
  const running = new AbortController();
  const waiting = new AbortController();
  await renderer.render(good);
  const first = renderer.render(hungry, running.signal);
  const second = renderer.render(good, waiting.signal);
  waiting.abort();
  assert.equal(errorsOf(await second)[0]?.code, 'FL_RENDER_CANCELLED');
  running.abort();
  assert.equal(errorsOf(await first)[0]?.code, 'FL_RENDER_CANCELLED');
  assert.equal(errorsOf(await renderer.render(hungry))[0]?.code, 'FL_RENDER_MEMORY');
  assert.equal(errorsOf(await renderer.render(hungry))[0]?.code, 'FL_RENDER_QUARANTINED');
});

test('stopping ends children and renders', async (t) => {
  const renderer = await rendererFor(t);
  await renderer.render(good);
  const { pids } = renderer.status();
  const pending = [renderer.render(hungry), renderer.render(good)];
  renderer.stop();
  for (const result of await Promise.all(pending)) assert.equal(errorsOf(result)[0]?.code, 'FL_RENDER_CANCELLED');
  await waitFor('the children to be gone', () => pids.every(isGone), { timeoutMs: 5_000 });
  assert.equal(errorsOf(await renderer.render(good))[0]?.code, 'FL_RENDER_CANCELLED');
});

test('an idle child ends, and the warm one with the last', async (t) => {
  const renderer = await rendererFor(t, { limits: { idleMs: 200 } });
  await renderer.render(good);
  const { pids } = renderer.status();
  assert.ok(pids.length > 0);
  await waitFor('all children to be gone', () => renderer.status().pids.length === 0 && pids.every(isGone), {
    timeoutMs: 10_000,
  });
  assert.equal(objectsOf(await renderer.render(good)).length, 1);
});

test(
  'a child has no environment, no socket, no file of ours, and may not open any',
  { skip: !existsSync('/proc/self') },
  async (t) => {
    process.env['FAIRLEAD_CANARY'] = 'canary';
    t.after(() => delete process.env['FAIRLEAD_CANARY']);
    const renderer = await rendererFor(t);
    await renderer.render(good);
    const [pid] = renderer.status().pids;
    assert.equal(readFileSync(`/proc/${pid}/environ`, 'utf8'), '');
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) =>
      execFileSync('readlink', [`/proc/${pid}/fd/${fd}`])
        .toString()
        .trim(),
    );
    const foreign = open.filter((target) => !/^(pipe|socket|anon_inode):|^\/dev\/null$/.test(target));
    assert.deepEqual(foreign, []);
    const flags = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    assert.ok(flags.includes('--permission') && !flags.some((flag) => /^--allow-(?!fs-read|worker)/.test(flag)));
  },
);

test('children do not outlive a plane that is killed, not even in the middle of a render', async () => {
  const script = `
    const { createRenderer } = await import(${JSON.stringify(new URL('renderer.ts', import.meta.url).href)});
    const { builtModule, requestOf } = await import(${JSON.stringify(new URL('testing.ts', import.meta.url).href)});
    const log = { debug() {}, info() {}, warn() {}, error() {}, with: () => log };
    const renderer = await createRenderer({ wasmPath: await builtModule(), log, poolSize: 1, limits: { deadlineMs: 600_000 } });
    const first = await renderer.render(requestOf({}));
    if (!first.ok) throw new Error(JSON.stringify(first));
    const slow = Array.from({ length: 25 }, (_, i) => [i + '.yaml', 'a: [' + 'a,'.repeat(150_000) + ']']);
    void renderer.render(requestOf(Object.fromEntries(slow)));
    console.log(JSON.stringify(renderer.status().pids));
  `;
  const plane = spawn(process.execPath, ['--input-type=module', '--no-warnings', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await new Promise<string>((resolve) => plane.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString())));
  const pids = JSON.parse(line) as number[];
  const [busy] = pids;
  assert.ok(busy !== undefined);
  const used = cpuTicks(busy);
  await waitFor('the render to be under way', () => cpuTicks(busy) > used + 50, { timeoutMs: 20_000 });
  plane.kill('SIGKILL');
  await waitFor('the children to be gone', () => pids.every(isGone), { timeoutMs: 4_000 });
});

test('a module that is not there is said at once', async () => {
  await assert.rejects(createRenderer({ wasmPath: '/nowhere/render.wasm', log: jsonLog() }), { code: 'FL_RENDER_MODULE' });
});

test('a module that is none is an answer, not a hang', async (t) => {
  const renderer = await rendererFor(t, { wasmPath: new URL(import.meta.url).pathname });
  const result = await renderer.render(good);
  assert.ok(!result.ok && result.retryable);
  assert.deepEqual(briefly(result.errors), ['-:0 no-child']);
  assert.match(result.errors[0]?.message ?? '', /ended while it started: .*WebAssembly/);
});
