import { join } from 'node:path';
import { goBuild, type GoBuildOptions } from '#base';

const KUBERNETES_VERSION = 'v1.36.3';

export type BuildOptions = Pick<GoBuildOptions, 'onProgress' | 'signal' | 'cacheDir'>;

/**
 * The path of the testbed's program, built if it is not in the cache for exactly these sources, flags and version of Go.
 * A build from nothing takes about seven minutes on two cores; callers in parallel wait for one build.
 * Errors: those of `goBuild`.
 */
export function buildTestbed({ onProgress, ...options }: BuildOptions = {}): Promise<string> {
  return goBuild({
    ...options,
    name: 'testbed',
    sourceDir: join(import.meta.dirname, 'go'),
    args: ['-trimpath', '-buildvcs=false', '-ldflags', `-s -w ${versionFlags()}`, '.'],
    outName: 'fairlead-testbed',
    // kubectl is the same program by another name.
    alsoAs: ['kubectl'],
    takes: 'about 7 min on 2 cores',
    ...(onProgress === undefined ? {} : { onProgress: (line) => onProgress(`testbed: ${line}`) }),
  });
}

function versionFlags(): string {
  return ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
    .flatMap((module) => [
      `-X ${module}.gitVersion=${KUBERNETES_VERSION}`,
      `-X ${module}.gitMajor=1`,
      `-X ${module}.gitMinor=36`,
      `-X ${module}.gitTreeState=clean`,
      `-X ${module}.gitCommit=testbed`,
    ])
    .join(' ');
}
