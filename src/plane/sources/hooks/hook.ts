import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** How each Git host proves that it knows the secret: a header, and what is in it. The first that is present counts. */
const proofs: readonly (readonly [header: string, form: 'hmac' | 'token'])[] = [
  ['x-fairlead-signature', 'hmac'],
  // GitHub, Gitea, Forgejo
  ['x-hub-signature-256', 'hmac'],
  ['x-forgejo-signature', 'hmac'],
  ['x-gitea-signature', 'hmac'],
  ['x-gogs-signature', 'hmac'],
  // Bitbucket, with SHA-256 only
  ['x-hub-signature', 'hmac'],
  ['x-gitlab-token', 'token'],
];

/** Events after which there may be another commit. A host that names no event has none but these. */
const events = new Set([
  'push',
  'create',
  'delete',
  'push hook',
  'tag push hook',
  'system hook',
  'repo:push',
  'repo:refs_changed',
]);
const eventHeaders = ['x-github-event', 'x-gitea-event', 'x-forgejo-event', 'x-gogs-event', 'x-gitlab-event', 'x-event-key'];

/** Whether who sent this knows the secret. Takes the same time whatever the answer. Pure. */
export function isAuthentic(headers: IncomingHttpHeaders, body: Uint8Array, secret: string): boolean {
  const expected = createHmac('sha256', secret).update(body).digest();
  const proof = proofs.find(([header]) => typeof headers[header] === 'string');
  const given = proof === undefined ? '' : String(headers[proof[0]]);
  if (proof?.[1] === 'token') {
    // Digests, because comparing needs equal lengths and a length is a hint.
    const digest = (text: string): Buffer => createHmac('sha256', 'token').update(text).digest();
    return timingSafeEqual(digest(given), digest(secret));
  }
  const hex = /^(?:sha256=)?([0-9a-f]{64})$/i.exec(given)?.[1];
  return timingSafeEqual(hex === undefined ? Buffer.alloc(32) : Buffer.from(hex, 'hex'), expected) && hex !== undefined;
}

/** Whether this event can mean a new commit. Pure. */
export function isPush(headers: IncomingHttpHeaders): boolean {
  const named = eventHeaders.map((header) => headers[header]).find((value) => typeof value === 'string');
  return named === undefined || events.has(named.toLowerCase());
}

const urlFields = [
  'clone_url',
  'ssh_url',
  'html_url',
  'git_http_url',
  'git_ssh_url',
  'http_url',
  'web_url',
  'git_url',
  'url',
] as const;

/**
 * Every address that a payload gives for its repository: `repository` (a string, or an object with `clone_url`, `ssh_url`,
 * `html_url`, …), `project`, and Bitbucket's `repository.links`. Nothing else of it is looked at. Pure.
 */
export function addressesIn(body: Buffer, contentType: string | undefined): readonly string[] {
  let payload: unknown;
  try {
    const text = body.toString('utf8');
    const isForm = contentType?.startsWith('application/x-www-form-urlencoded') === true;
    payload = JSON.parse(isForm ? (new URLSearchParams(text).get('payload') ?? '') : text);
  } catch {
    return [];
  }
  const found: unknown[] = [];
  for (const name of ['repository', 'project']) {
    const value = fieldOf(payload, name);
    found.push(value, ...urlFields.map((field) => fieldOf(value, field)));
    const links = fieldOf(value, 'links');
    found.push(fieldOf(fieldOf(links, 'html'), 'href'));
    const clone = fieldOf(links, 'clone');
    if (Array.isArray(clone)) for (const link of clone.slice(0, 4) as readonly unknown[]) found.push(fieldOf(link, 'href'));
  }
  return found.filter((value): value is string => typeof value === 'string' && value.length <= 2_048);
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

/**
 * What an address of a repository has in common with every other address of it: host and path, without scheme, user, port,
 * `.git` and case. `git@git.example.com:team/x.git` and `https://git.example.com:8443/Team/x` are one. Pure.
 */
export function repositoryKey(address: string): string | undefined {
  if (address.length > 2_048) return undefined;
  const match =
    /^[a-z][a-z0-9+.-]*:\/\/(?:[^/@]*@)?(\[[^\]/]*\]|[^/:@]+)(?::\d*)?\/+(.+)$/i.exec(address) ??
    (address.includes('://') ? null : /^(?:[^/@:]+@)([^/:@]+):\/*(.+)$/.exec(address));
  const [, host, path] = match ?? [];
  if (host === undefined || path === undefined) return undefined;
  const trimmed = path
    .replace(/[?#].*$/s, '')
    .replace(/\/+$/, '')
    .replace(/\.git$/i, '');
  return trimmed === '' ? undefined : `${host}/${trimmed}`.toLowerCase();
}
