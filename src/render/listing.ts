import type { Listing } from './types.ts';

/** Whether a listing looks for files of that name. The same question as `listing.covers` in wasm/engine.go. */
export function covers(listing: Listing, path: string): boolean {
  const start = listing.directory === '.' || listing.directory === '' ? '' : `${listing.directory}/`;
  if (!path.startsWith(start)) return false;
  const name = path.slice(start.length);
  const slash = name.lastIndexOf('/');
  if (slash >= 0 && !listing.recurse) return false;
  const base = name.slice(slash + 1);
  return listing.names.includes(base) || listing.suffixes.some((suffix) => base.length > suffix.length && base.endsWith(suffix));
}
