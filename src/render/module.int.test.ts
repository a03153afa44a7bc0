import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { exec } from '#base';
import { runModule } from './module.ts';
import { builtModule, configMap } from './testing.ts';
import { createWasiHost } from './wasi.ts';

let module: WebAssembly.Module;
before(async () => {
  module = await WebAssembly.compile(await readFile(await builtModule()));
});

test('values are those of kubectl, variables those of TypeScript (go test)', { timeout: 1_200_000 }, async () => {
  const env = Object.fromEntries(Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined));
  const cwd = join(dirname(fileURLToPath(import.meta.url)), 'wasm');
  // Compiles Helm and Kustomize for this machine the first time.
  const args = ['test', '-trimpath', '-count=1', '.'];
  const result = await exec('go', args, { cwd, env, timeoutMs: 1_200_000, maxOutputBytes: 1_000_000 });
  assert.equal(result.exitCode, 0, `${result.stdout.toString()}\n${result.stderr}`);
});

test('the module wants nothing but functions of preview 1, and whatever is about files is not there', () => {
  const imports = WebAssembly.Module.imports(module);
  assert.deepEqual([...new Set(imports.map((i) => `${i.module} ${i.kind}`))], ['wasi_snapshot_preview1 function']);
  const { calls } = host('11'.repeat(32));
  const about = imports.map((i) => i.name).filter((name) => /^(path|sock)_|^fd_(?!write)/.test(name));
  assert.ok(about.includes('path_open'));
  const functions = calls as unknown as Readonly<Record<string, () => number>>;
  for (const name of about) assert.ok([8, 52].includes(functions[name]?.() ?? 0), `${name} gives an error`);
});

test('without the seed being asked for, another seed and time change nothing; no render asks', () => {
  const render = (seed: string, timeMs: number): unknown => {
    const file = Buffer.from(configMap('x'));
    const header = Buffer.from(JSON.stringify({ engine: 'manifests', files: [{ path: 'a.yaml', bytes: file.length }] }));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(header.length);
    return runModule(module, [length, header, file], { seed, timeMs });
  };
  const one = render('11'.repeat(32), 0);
  assert.deepEqual(render('22'.repeat(32), 1_000), one);
  assert.ok(typeof one === 'object' && one !== null && 'randomness' in one);
  assert.equal(one.randomness, false);
});

interface Calls {
  readonly random_get: (at: number, length: number) => number;
  readonly clock_time_get: (id: number, precision: bigint, at: number) => number;
  readonly fd_read: () => number;
  readonly poll_oneoff: (subscriptions: number, events: number, count: number, countAt: number) => number;
  readonly fd_write: (fd: number, vectors: number, count: number, writtenAt: number) => number;
}

function host(seed: string): {
  readonly host: ReturnType<typeof createWasiHost>;
  readonly calls: Calls;
  readonly data: DataView;
} {
  const created = createWasiHost(module, { seed, timeMs: 1_767_225_600_000 });
  const memory = new WebAssembly.Memory({ initial: 1 });
  created.attach(memory);
  // The imports are these functions by construction of createWasiHost.
  return { host: created, calls: created.imports as unknown as Calls, data: new DataView(memory.buffer) };
}

test('random bytes: alike for all before the start, then of the seed alone, however they are cut', () => {
  const draw = (seed: string, cuts: readonly number[], started: boolean): string => {
    const { host: h, calls, data } = host(seed);
    if (started) h.started();
    let at = 0;
    for (const cut of cuts) {
      assert.equal(calls.random_get(at, cut), 0);
      at += cut;
    }
    assert.equal(h.randomnessAsked, started);
    return Buffer.from(data.buffer, 0, at).toString('hex');
  };
  const [a, b] = ['11'.repeat(32), '22'.repeat(32)];
  assert.equal(draw(a, [64], false), draw(b, [1, 63], false));
  assert.equal(draw(a, [100], true), draw(a, [1, 31, 32, 36], true));
  assert.notEqual(draw(a, [64], true), draw(b, [64], true));
  assert.notEqual(draw(a, [64], true), draw(a, [64], false));
});

test('the clock stands at the commit, sleeping takes no time, files are not there', () => {
  const { host: h, calls, data } = host('11'.repeat(32));
  const clock = (id: number): bigint => {
    assert.equal(calls.clock_time_get(id, 0n, 0), 0);
    return data.getBigUint64(0, true);
  };
  assert.equal(clock(0), 0n, 'nobody knows the time during the start');
  h.started();
  assert.equal(clock(0), 1_767_225_600_000_000_000n);
  assert.equal(clock(0), 1_767_225_600_000_000_000n);
  const earlier = clock(1);
  data.setBigUint64(100 + 24, 3_600_000_000_000n, true);
  assert.equal(calls.poll_oneoff(100, 200, 1, 300), 0);
  assert.equal(data.getUint32(300, true), 1);
  assert.ok(clock(1) - earlier >= 3_600_000_000_000n);
  assert.equal(calls.fd_read(), 8);
});

test('what the module prints is kept up to a cap', () => {
  const { host: h, calls, data } = host('11'.repeat(32));
  data.setUint32(0, 1_000, true);
  data.setUint32(4, 5_000, true);
  for (let i = 0; i < 3; i++) {
    assert.equal(calls.fd_write(2, 0, 1, 8), 0);
    assert.equal(data.getUint32(8, true), 5_000);
  }
  assert.equal(h.written.length, 8_192);
  assert.equal(calls.fd_write(3, 0, 1, 8), 8);
});
