import { formatReference, type GitReference } from '#api';
import { shortHash } from '#base';

/** What to ask a server for. */
export type WantedRef =
  | { readonly kind: 'ref'; /** `refs/heads/main`, `refs/tags/v1`. */ readonly name: string }
  | { readonly kind: 'semver'; readonly range: string }
  | { readonly kind: 'commit'; readonly commit: string };

/** Undefined when the name is none that Git would accept. */
export function wantedRef(reference: GitReference | undefined): WantedRef | undefined {
  if (reference?.commit !== undefined)
    return isCommit(reference.commit) ? { kind: 'commit', commit: reference.commit } : undefined;
  if (reference?.semver !== undefined) return { kind: 'semver', range: reference.semver };
  const name = reference?.tag !== undefined ? `refs/tags/${reference.tag}` : `refs/heads/${reference?.branch ?? 'main'}`;
  return isRefName(name) ? { kind: 'ref', name } : undefined;
}

export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

/**
 * The rules of git-check-ref-format(1), and never a leading dash in any component: a name is part of an argument, and one
 * that Git itself would refuse is not worth a process.
 */
export function isRefName(name: string): boolean {
  if (name.length > 250 || !name.includes('/') || name.endsWith('/') || name.endsWith('.')) return false;
  if (name.includes('..') || name.includes('@{') || name.includes('//')) return false;
  if (/[\p{Cc} ~^:?*[\\]/u.test(name)) return false;
  return name
    .split('/')
    .every((part) => part !== '' && !part.startsWith('.') && !part.startsWith('-') && !part.endsWith('.lock'));
}

/** Where the mirror keeps what a reference was last seen at. The name is ours, not the repository's. */
export function mirrorRef(reference: GitReference | undefined): string {
  return `refs/fairlead/ref/${shortHash(formatReference(reference))}`;
}

/** Keeps a commit that a Snapshot or a Release names. */
export function keptRef(commit: string): string {
  return `refs/fairlead/kept/${commit}`;
}
