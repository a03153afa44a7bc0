/** For tests: the renderer beside the real `helm template` and `kustomize build`, on the cases of testdata. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { goBuild } from '#base';
import { compileModule, ModuleRunner } from './module.ts';
import type { ModuleRequest, ModuleResult } from './protocol.ts';
import { builtModule } from './testing.ts';

const here = dirname(fileURLToPath(import.meta.url));
export const testdata = join(here, 'testdata');

/** Path of the real program, built once. */
export function reference(name: 'helm' | 'kustomize'): Promise<string> {
  const main = { helm: 'helm.sh/helm/v4/cmd/helm', kustomize: 'sigs.k8s.io/kustomize/kustomize/v5' }[name];
  return goBuild({
    name: `render-reference-${name}`,
    sourceDir: join(here, 'reference'),
    args: ['-trimpath', main],
    outName: name,
  });
}

/** Files of a directory by their path in it. */
export async function filesIn(directory: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(directory, path).split(sep).join('/'), await readFile(path));
  }
  return files;
}

/** Directories in a directory of testdata, by name. */
export async function casesOf(kind: 'charts' | 'kustomizations'): Promise<readonly string[]> {
  const names = await readdir(join(testdata, kind));
  return names.sort();
}

export async function readIfThere(path: string): Promise<string | undefined> {
  return (await stat(path).catch(() => undefined)) === undefined ? undefined : readFile(path, 'utf8');
}

let runner: Promise<ModuleRunner> | undefined;

/** What the engine itself prints, before anything of ours; or its errors. */
export async function rawRender(files: ReadonlyMap<string, Uint8Array>, request: Partial<ModuleRequest>): Promise<ModuleResult> {
  runner ??= builtModule().then(async (path) => new ModuleRunner(await compileModule(await readFile(path))));
  const paths = [...files.keys()].sort();
  const header: ModuleRequest = {
    engine: 'auto',
    path: '.',
    remotes: [],
    raw: true,
    recurse: true,
    substitute: false,
    cluster: { name: 'c', labels: {}, facts: {} },
    defaultNamespace: '',
    sensitiveKinds: [],
    hasRecipients: true,
    files: paths.map((path) => ({ path, bytes: files.get(path)?.byteLength ?? 0 })),
    ...request,
  };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  const message = [length, text, ...paths.map((path) => files.get(path) ?? new Uint8Array())];
  const outcome = (await runner).run(message, { timeMs: Date.UTC(2026, 0, 1), seed: '11'.repeat(32) });
  if (outcome.ended !== 'answer') throw new Error(`the module ended: ${outcome.ended}`);
  // The shape is that of `result` in wasm/render.go.
  return outcome.header as ModuleResult;
}
