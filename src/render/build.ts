import { copyFile, link } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeOf, goBuild, type GoBuildOptions } from '#base';

const sourceDir = join(dirname(fileURLToPath(import.meta.url)), 'wasm');

/** What `buildMetadata: [managedByLabel]` writes: the kustomize command of the same libraries. */
const kustomizeVersion = 'sigs.k8s.io/kustomize/api/provenance.version=v5.8.1';

/**
 * Builds the renderer module once per content of `src/render/wasm` and Go version, and gives its path. Beside it lies
 * `small.wasm`, which has plain manifests alone and starts several times as fast. The first build takes some minutes and
 * needs Go 1.26; later ones are a look into the cache.
 *
 * Errors: those of `goBuild`.
 */
export async function buildRenderer(
  options: Pick<GoBuildOptions, 'onProgress' | 'log' | 'signal' | 'cacheDir'> = {},
): Promise<string> {
  const common = { ...options, sourceDir, env: { GOOS: 'wasip1', GOARCH: 'wasm', CGO_ENABLED: '0' } };
  // Reactors: functions to call, no main, no standard input.
  const args = ['-buildmode=c-shared', '-trimpath', `-ldflags=-s -w -X ${kustomizeVersion}`];
  const small = await goBuild({ ...common, name: 'render-small', args: [...args, '-tags=small', '.'], outName: 'small.wasm' });
  const full = await goBuild({ ...common, name: 'render', args: [...args, '.'], outName: 'render.wasm' });
  const beside = smallModuleOf(full);
  await link(small, beside).catch(async (error: unknown) => {
    if (codeOf(error) !== 'EEXIST') await copyFile(small, beside);
  });
  return full;
}

/** Where the small module lies, if there is one. */
export function smallModuleOf(wasmPath: string): string {
  return join(dirname(wasmPath), 'small.wasm');
}
