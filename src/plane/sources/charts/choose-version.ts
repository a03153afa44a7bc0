import { compareVersions, parseRange, parseVersion, satisfies } from '../semver.ts';

/**
 * The version of a chart that a wish means: that very version, else the highest in the range; releases before pre-releases as
 * Helm has it. Undefined: none. Pure.
 */
export function chooseVersion(versions: readonly string[], wish: string): string | undefined {
  const exact = versions.find((version) => version === wish) ?? versions.find((version) => bare(version) === bare(wish));
  if (exact !== undefined) return exact;
  const range = parseRange(wish);
  if (range === undefined || isExact(wish)) return undefined;
  let best: { readonly text: string; readonly version: ReturnType<typeof parseVersion> } | undefined;
  for (const text of versions) {
    const version = parseVersion(text);
    if (version === undefined || !satisfies(version, range)) continue;
    if (best?.version === undefined || compareVersions(version, best.version) > 0) best = { text, version };
  }
  return best?.text;
}

/** Whether a wish is one version and no range. */
export function isExact(wish: string): boolean {
  return parseVersion(wish) !== undefined;
}

function bare(version: string): string {
  return version.replace(/^v/, '');
}
