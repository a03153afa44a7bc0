import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { exec } from '#base';
import { compileModule, ModuleRunner, type ModuleOutcome } from './module.ts';
import { builtModule, configMap } from './testing.ts';
import { createWasiHost } from './wasi.ts';

let module: WebAssembly.Module;
before(async () => {
  module = await compileModule(await readFile(await builtModule()));
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
  const { calls } = host();
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
    return new ModuleRunner(module).run([length, header, file], { seed, timeMs });
  };
  const one = render('11'.repeat(32), 0);
  assert.deepEqual(render('22'.repeat(32), 1_000), one);
  assert.ok(typeof one === 'object' && one !== null && 'randomness' in one);
  assert.equal(one.randomness, false);
});

test('an instance that is used again answers as a new one does, whatever came before', async () => {
  const files = new Map([
    ['Chart.yaml', 'apiVersion: v2\nname: c\nversion: 1.0.0\n'],
    ['templates/a.yaml', `${configMap('a')}---\n${configMap('b')}  r: "{{ randAlphaNum 20 }} {{ now }}"\n`],
  ]);
  const plain = (count: number): Request => ({
    header: { engine: 'manifests' },
    files: new Map([['a.yaml', Array.from({ length: count }, (_, index) => configMap(`m${index}`)).join('---\n')]]),
  });
  const helm = { releaseName: 'r', valueFiles: [], ignoreMissingValueFiles: false, values: {}, crds: 'Create' };
  const chart: Request = { header: { engine: 'helm', helm, defaultNamespace: 'ns' }, files };
  const kustomization: Request = {
    header: { engine: 'kustomize' },
    files: new Map([['kustomization.yaml', 'configMapGenerator: [{name: g, literals: [a=b]}]\n']]),
  };
  const deep: Request = { header: { engine: 'manifests' }, files: new Map([['a.yaml', `a: ${'['.repeat(200_000)}`]]) };
  const broken: Request = {
    header: { engine: 'helm', helm },
    files: new Map([...files, ['templates/b.yaml', '{{ fail "no" }}']]),
  };
  const requests = [
    chart,
    kustomization,
    plain(1),
    deep,
    chart,
    plain(4_000),
    kustomization,
    broken,
    chart,
    plain(1),
    kustomization,
  ];
  const seeded = (index: number): { seed: string; timeMs: number } => ({
    seed: `${10 + index}`.repeat(32),
    timeMs: index * 1_000,
  });
  const reused = new ModuleRunner(module);
  for (const [index, request] of requests.entries()) {
    const { memoryBytes: _old, ...again } = run(reused, request, seeded(index));
    const { memoryBytes: _new, ...fresh } = run(new ModuleRunner(module), request, seeded(index));
    assert.deepEqual(again, fresh, `request ${index}`);
    if (index % 2 === 0) reused.reset();
  }
});

test('what renders leave behind in an instance stays little', () => {
  const growing: Request = {
    header: { engine: 'kustomize' },
    files: new Map([['kustomization.yaml', 'configMapGenerator: [{name: g, literals: [a=b]}]\n']]),
  };
  const runner = new ModuleRunner(module);
  const sizes = Array.from(
    { length: 40 },
    () => run(runner, growing, { seed: '11'.repeat(32), timeMs: 0 }).memoryBytes / 2 ** 20,
  );
  assert.ok(Math.max(...sizes) < 48, `memory is ${sizes.join(', ')} MiB`);
});

interface Request {
  readonly header: Readonly<Record<string, unknown>>;
  readonly files: ReadonlyMap<string, string>;
}

function run(runner: ModuleRunner, { header, files }: Request, options: { seed: string; timeMs: number }): ModuleOutcome {
  const contents = [...files.values()].map((text) => Buffer.from(text));
  const listed = [...files.keys()].map((path, index) => ({ path, bytes: contents[index]?.length ?? 0 }));
  const text = Buffer.from(
    JSON.stringify({ path: '.', cluster: { name: 'c', labels: {}, facts: {} }, ...header, files: listed }),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return runner.run([length, text, ...contents], options);
}

interface Calls {
  readonly random_get: (at: number, length: number) => number;
  readonly clock_time_get: (id: number, precision: bigint, at: number) => number;
  readonly fd_read: () => number;
  readonly poll_oneoff: (subscriptions: number, events: number, count: number, countAt: number) => number;
  readonly fd_write: (fd: number, vectors: number, count: number, writtenAt: number) => number;
}

function host(): {
  readonly host: ReturnType<typeof createWasiHost>;
  readonly calls: Calls;
  readonly data: DataView;
} {
  const created = createWasiHost(module);
  const memory = new WebAssembly.Memory({ initial: 1 });
  created.attach(memory);
  // The imports are these functions by construction of createWasiHost.
  return { host: created, calls: created.imports as unknown as Calls, data: new DataView(memory.buffer) };
}

test('random bytes: alike for all before the start, then of the seed alone, however they are cut', () => {
  const draw = (seed: string, cuts: readonly number[], started: boolean): string => {
    const { host: h, calls, data } = host();
    if (started) h.started({ seed, timeMs: 0 });
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
  const { host: h, calls, data } = host();
  const clock = (id: number): bigint => {
    assert.equal(calls.clock_time_get(id, 0n, 0), 0);
    return data.getBigUint64(0, true);
  };
  assert.equal(clock(0), 0n, 'nobody knows the time during the start');
  h.started({ seed: '11'.repeat(32), timeMs: 1_767_225_600_000 });
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
  const { host: h, calls, data } = host();
  data.setUint32(0, 1_000, true);
  data.setUint32(4, 5_000, true);
  for (let i = 0; i < 3; i++) {
    assert.equal(calls.fd_write(2, 0, 1, 8), 0);
    assert.equal(data.getUint32(8, true), 5_000);
  }
  assert.equal(h.written.length, 8_192);
  assert.equal(calls.fd_write(3, 0, 1, 8), 8);
});
