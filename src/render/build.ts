import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { goBuild, type GoBuildOptions } from '#base';

const sourceDir = join(dirname(fileURLToPath(import.meta.url)), 'wasm');

/** What `buildMetadata: [managedByLabel]` writes: the kustomize command of the same libraries. */
const kustomizeVersion = 'sigs.k8s.io/kustomize/api/provenance.version=v5.8.1';

/**
 * Builds the renderer module once per content of `src/render/wasm` and Go version, and gives its path. The first build
 * takes some minutes and needs Go 1.26; later ones are a look into the cache.
 *
 * Errors: those of `goBuild`.
 */
export function buildRenderer(options: Pick<GoBuildOptions, 'onProgress' | 'log' | 'signal' | 'cacheDir'> = {}): Promise<string> {
  return goBuild({
    ...options,
    name: 'render',
    sourceDir,
    // A reactor: functions to call, no main, no standard input.
    args: ['-buildmode=c-shared', '-trimpath', `-ldflags=-s -w -X ${kustomizeVersion}`, '.'],
    env: { GOOS: 'wasip1', GOARCH: 'wasm', CGO_ENABLED: '0' },
    outName: 'render.wasm',
    takes: 'about 80 s on 2 cores',
  });
}
