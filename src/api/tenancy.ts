import type { DeliverySettings } from './kinds/application.ts';
import type { Project } from './kinds/project.ts';
import { reasonOf, type UntimedReason } from './reasons.ts';

/** The identity that an application is applied as: `namespace/name`, undefined for the agent's own, or why there is none. */
export type ApplyIdentity =
  | { readonly serviceAccount: string | undefined; readonly refused?: undefined }
  | { readonly refused: UntimedReason };

/**
 * Whom a Project lets an application apply as: what the application names, if allowed; else the default; else the agent's
 * own identity where the Project says so. A bare name means the application's defaultNamespace.
 */
export function applyIdentity(
  project: Project,
  settings: Pick<DeliverySettings, 'serviceAccountName' | 'defaultNamespace'>,
): ApplyIdentity {
  const { default: fallback, allowed, agentIdentity } = project.spec.serviceAccount ?? {};
  const named = settings.serviceAccountName ?? fallback;
  if (named === undefined) {
    if (agentIdentity === true) return { serviceAccount: undefined };
    return { refused: reasonOf('FL_CLAIM_NO_SERVICE_ACCOUNT', { project: project.metadata.name }) };
  }
  const full = qualify(named, settings.defaultNamespace);
  if (full === undefined) return { refused: reasonOf('FL_CLAIM_SERVICE_ACCOUNT_NAMESPACE', { serviceAccount: named }) };
  const patterns = [...(fallback === undefined ? [] : [fallback]), ...(allowed ?? [])];
  const isAllowed = patterns.some((pattern) => {
    const qualified = qualify(pattern, settings.defaultNamespace);
    return qualified !== undefined && matchesWildcard(qualified, full);
  });
  if (isAllowed) return { serviceAccount: full };
  return { refused: reasonOf('FL_CLAIM_SERVICE_ACCOUNT', { project: project.metadata.name, serviceAccount: named }) };
}

function qualify(name: string, namespace: string | undefined): string | undefined {
  if (name.includes('/')) return name;
  return namespace === undefined || namespace === '' ? undefined : `${namespace}/${name}`;
}

/** `*` stands for any run of characters except `/`. Linear in the text, whatever the pattern. */
export function matchesWildcard(pattern: string, text: string): boolean {
  const wanted = pattern.split('/');
  const given = text.split('/');
  return wanted.length === given.length && wanted.every((part, index) => matchesPart(part, given[index] ?? ''));
}

function matchesPart(pattern: string, text: string): boolean {
  const pieces = pattern.split('*');
  const first = pieces[0] ?? '';
  if (pieces.length === 1) return pattern === text;
  const last = pieces.at(-1) ?? '';
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let from = first.length;
  const end = text.length - last.length;
  for (const piece of pieces.slice(1, -1)) {
    const at = text.indexOf(piece, from);
    if (at < 0 || at + piece.length > end) return false;
    from = at + piece.length;
  }
  return true;
}
