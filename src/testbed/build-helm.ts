import { join } from 'node:path';
import { goBuild, type GoBuildOptions } from '#base';

/** The path of the `helm` program, of the version that the renderer is made of, built if it is not cached. Errors: those of `goBuild`. */
export function buildHelm(options: Pick<GoBuildOptions, 'onProgress' | 'signal' | 'cacheDir'> = {}): Promise<string> {
  return goBuild({
    ...options,
    name: 'helm',
    sourceDir: join(import.meta.dirname, 'helm'),
    args: ['-trimpath', '-buildvcs=false', '-ldflags=-s -w', 'helm.sh/helm/v4/cmd/helm'],
    outName: 'helm',
    takes: 'about 3 min on 2 cores',
  });
}
