/**
 * The renderer alone: how long the first render of a new plane takes, one in a warm child beside the real `helm template` and
 * `kustomize build` of the same version, and a commit that changed nothing that was read.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, sha256, silentLog } from '../src/base/index.ts';
import { Pins } from '../src/plane/applications/pins.ts';
import { renderTree } from '../src/plane/applications/render-tree.ts';
import { nothingStaged } from '../src/plane/applications/staged.ts';
import type { TreeContext } from '../src/plane/applications/tree-context.ts';
import type { BaseGroup } from '../src/plane/applications/wanted-groups.ts';
import type { SnapshotFile, SnapshotFiles } from '../src/plane/applications/snapshot-files.ts';
import { createRenderer, type Renderer, type RenderRequest } from '../src/render/index.ts';
import { filesIn, reference, testdata } from '../src/render/parity.ts';
import { builtModule, configMap, objectsOf, requestOf } from '../src/render/testing.ts';
import type { Measured } from './main.ts';

const COLD = 7;
const WARM = 200;
const BUNDLE = 500;

type Files = Readonly<Record<string, Uint8Array>>;

/** Milliseconds that each of `count` runs took. */
async function timed(count: number, run: (index: number) => Promise<unknown>): Promise<number[]> {
  const took: number[] = [];
  for (let index = 0; index < count; index++) {
    const from = performance.now();
    await run(index);
    took.push(performance.now() - from);
  }
  return took;
}

export async function render(progress: (line: string) => void): Promise<Measured> {
  const home = await mkdtemp(join(tmpdir(), 'fairlead-bench-render-'));
  try {
    return await measure(home, progress);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function measure(home: string, progress: (line: string) => void): Promise<Measured> {
  const [wasmPath, helm, kustomize] = await Promise.all([builtModule(), reference('helm'), reference('kustomize')]);
  const real = (program: string, args: readonly string[], cwd: string) => async (): Promise<void> => {
    const env = { HOME: home, HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
    const { exitCode, stderr } = await exec(program, args, { cwd, env, timeoutMs: 60_000, maxOutputBytes: 16_000_000 });
    if (exitCode !== 0) throw new Error(stderr);
  };
  const chartDirectory = join(testdata, 'charts', 'nested-subcharts');
  const overlayDirectory = join(testdata, 'kustomizations', 'components');
  const chart = Object.fromEntries(await filesIn(chartDirectory));
  const overlay = Object.fromEntries(await filesIn(overlayDirectory));
  const overlayPath = await pathOf(overlayDirectory);
  const bundle = Object.fromEntries(
    Array.from({ length: BUNDLE }, (_, index) => [`${index}.yaml`, Buffer.from(configMap(`c${index}`, { at: String(index) }))]),
  );
  const chartRequest = requestOf(chart, { engine: 'helm', path: 'chart', defaultNamespace: 'shop', helm: helmOptions });
  const overlayRequest = requestOf(overlay, { engine: 'kustomize', path: overlayPath, defaultNamespace: 'shop' });
  const bundleRequest = requestOf(bundle);
  const helmFloor = await timed(20, real(helm, ['template', 'web', './chart', '--namespace', 'shop'], chartDirectory));
  const kustomizeFloor = await timed(20, real(kustomize, ['build', overlayPath], overlayDirectory));

  const coldChart = await cold(wasmPath, chartRequest);
  const coldBundle = await cold(wasmPath, bundleRequest);
  progress(`cold: chart ${Math.round(coldChart[0] ?? 0)} ms the first time`);

  const renderer = await createRenderer({ wasmPath, log: silentLog });
  try {
    const warm = async (request: RenderRequest): Promise<number[]> => {
      // The first ones start children and compile functions as they are met.
      await timed(20, async () => objectsOf(await renderer.render(request)));
      return timed(WARM, async () => objectsOf(await renderer.render(request)));
    };
    const warmChart = await warm(chartRequest);
    const warmOverlay = await warm(overlayRequest);
    const warmBundle = await warm(bundleRequest);
    progress('warm renders measured');
    const [sameTree, sameFiles, changed] = await cached(renderer, chart);
    const floorHelm = { what: 'ms: helm template, a process', values: helmFloor };
    return {
      rows: [
        { what: 'cold: first render of a chart by a new renderer', target: '-', values: coldChart, unit: 'ms', floor: floorHelm },
        { what: `cold: first render of ${BUNDLE} plain manifests`, target: '-', values: coldBundle, unit: 'ms' },
        { what: 'warm: a chart with two levels of subcharts', target: '-', values: warmChart, unit: 'ms', floor: floorHelm },
        {
          what: 'warm: a kustomization with components',
          target: '-',
          values: warmOverlay,
          unit: 'ms',
          floor: { what: 'ms: kustomize build, a process', values: kustomizeFloor },
        },
        { what: `warm: ${BUNDLE} plain manifests`, target: '-', values: warmBundle, unit: 'ms' },
        { what: 'a commit that changes the chart, for one cluster', target: '-', values: changed, unit: 'ms' },
        { what: 'cached: a commit elsewhere in the repository', target: '0 renders', values: sameTree, unit: 'ms' },
        { what: 'cached: a commit beside the files that were read', target: '0 renders', values: sameFiles, unit: 'ms' },
      ],
      notes: [
        `cold: a new renderer, a new child that compiles the module, one render; ${COLD} times`,
        `warm: ${WARM} renders one after another in a child that has rendered 20; what is printed is checked to be objects`,
        'cached: what a release asks for after a commit, from what the last one left; the files of the commit are in memory',
      ],
    };
  } finally {
    renderer.stop();
  }
}

const helmOptions = {
  releaseName: 'web',
  valueFiles: [],
  ignoreMissingValueFiles: false,
  values: {},
  crds: 'Create' as const,
};

async function pathOf(directory: string): Promise<string> {
  const file = (await filesIn(directory)).get('path');
  return file === undefined ? '.' : Buffer.from(file).toString('utf8').trim();
}

function cold(wasmPath: string, request: RenderRequest): Promise<number[]> {
  return timed(COLD, async () => {
    const renderer = await createRenderer({ wasmPath, log: silentLog });
    try {
      objectsOf(await renderer.render(request));
    } finally {
      renderer.stop();
    }
  });
}

/** Times of a tree that is equal, of one whose files that were read are equal, and of one that has to be rendered. */
async function cached(renderer: Renderer, chart: Files): Promise<[sameTree: number[], sameFiles: number[], changed: number[]]> {
  const group: BaseGroup = {
    base: 'bench',
    path: 'chart',
    render: { engine: 'helm', recurse: true, substitute: false, helm: helmOptions },
    members: [{}],
  };
  let renders = 0;
  let row: Parameters<typeof renderTree>[1];
  const commit = async (files: Files): Promise<void> => {
    const staged = nothingStaged();
    const outcome = await renderTree(group, row, contextOf(renderer, files), staged);
    if ('reason' in outcome) throw new Error(`the chart cannot be rendered: ${JSON.stringify(outcome.reason)}`);
    row = outcome.row;
    renders = staged.renders;
  };
  const expecting = async (expected: number, files: Files): Promise<void> => {
    await commit(files);
    if (renders !== expected) throw new Error(`${renders} renders where ${expected} were expected`);
  };
  await expecting(1, chart);
  const sameTree = await timed(WARM, (index) => expecting(0, { ...chart, 'elsewhere.yaml': Buffer.from(String(index)) }));
  // Helm reads every file of a chart but those that .helmignore names. That one is there is part of what was read.
  const ignoring = { ...chart, 'chart/.helmignore': Buffer.from('*.bak\n'), 'chart/notes.bak': Buffer.from('first') };
  await expecting(1, ignoring);
  const sameFiles = await timed(WARM, (index) => expecting(0, { ...ignoring, 'chart/notes.bak': Buffer.from(String(index)) }));
  const values = chart['chart/values.yaml'] ?? Buffer.alloc(0);
  const changed = await timed(WARM / 4, (index) =>
    expecting(1, { ...chart, 'chart/values.yaml': Buffer.concat([values, Buffer.from(`\nbench: ${index}\n`)]) }),
  );
  return [sameTree, sameFiles, changed];
}

function contextOf(renderer: Renderer, files: Files): TreeContext {
  return {
    project: 'shop',
    application: 'web',
    defaultNamespace: 'shop',
    snapshot: snapshotOf(files),
    commitTimeMs: Date.UTC(2026, 0, 1),
    renderer,
    derive: (purpose, ...parts) =>
      createHash('sha256')
        .update([purpose, ...parts].join('\n'))
        .digest(),
    read: { sealedDigests: () => Promise.resolve(new Map()) },
    signal: new AbortController().signal,
    verdicts: new Map(),
    nowMs: 0,
    pins: new Pins([], undefined, undefined),
    isOneOfMany: false,
  };
}

function snapshotOf(files: Files): SnapshotFiles {
  const byOid = new Map<string, Uint8Array>();
  const all = Object.entries(files).map(([path, bytes]): SnapshotFile => {
    const oid = sha256(bytes);
    byOid.set(oid, bytes);
    return { path, oid, bytes: bytes.byteLength };
  });
  const under = (path: string): readonly SnapshotFile[] =>
    all
      .filter((file) => path === '.' || file.path.startsWith(`${path}/`))
      .map((file) => ({ ...file, path: path === '.' ? file.path : file.path.slice(path.length + 1) }));
  return {
    commit: sha256(JSON.stringify(all)).slice(0, 40),
    treeHash: (path) => Promise.resolve(sha256(JSON.stringify(under(path)))),
    list: (path) => Promise.resolve(under(path)),
    find: (path) => Promise.resolve(all.find((file) => file.path === path)),
    read: (wanted) => Promise.resolve(new Map(wanted.map(({ oid }) => [oid, byOid.get(oid) ?? new Uint8Array()]))),
  };
}
