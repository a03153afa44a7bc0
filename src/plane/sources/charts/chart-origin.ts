import { FairleadError, Sensitive, type Log } from '#base';
import { Credential, Project, reasonOf, type UntimedReason } from '#api';
import type { Reader } from '#plane/engine';
import type { Decrypt } from '../look.ts';
import { checkUrl, globMatches, mayCarryCredential, type UrlPolicy } from '../source-url.ts';
import { hasControls } from '../text.ts';

/** Where charts come from, checked as far as that is possible without asking. */
export interface ChartOrigin {
  /** Of the repository, with a `/` at its end; for OCI the https:// form. */
  readonly url: URL;
  readonly isOci: boolean;
  readonly project: string;
  /** As it is shown and matched. */
  readonly shown: string;
  readonly ca: string | undefined;
  /** User name and password of a basic credential: an OCI registry takes them for a token. */
  readonly basic: Sensitive<string> | undefined;
  /** The Authorization header for an origin, where there is one for it. */
  authorize(origin: string): Sensitive<string> | undefined;
  /** Whether the Project may use a URL, such as one that an index names. */
  mayUse(url: URL): boolean;
}

export interface OriginContext {
  readonly read: Pick<Reader, 'get'>;
  readonly log: Log;
  readonly policy: UrlPolicy;
  readonly decrypt: Decrypt;
}

export type CheckedOrigin =
  | { readonly ok: true; readonly origin: ChartOrigin }
  | { readonly ok: false; readonly reason: UntimedReason };

/** Brings `https://`, `http://` (where allowed) or `oci://` to an origin for a Project, with the secrets of a Credential. */
export async function chartOrigin(
  text: string,
  namespace: string,
  credentialName: string | undefined,
  context: OriginContext,
): Promise<CheckedOrigin> {
  const refuse = (reason: UntimedReason): CheckedOrigin => ({ ok: false, reason });
  const isOci = /^oci:\/\//i.test(text);
  const checked = checkUrl(isOci ? text.replace(/^oci:/i, 'https:') : text, { ...context.policy, allowFileUrls: false });
  if (!checked.ok) return refuse(reasonOf('FL_SOURCE_URL', { url: checked.shown, why: checked.why }));
  const url = new URL(checked.url);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  const shown = shownOf(url, isOci);
  const project = await context.read.get(Project, { namespace: '', name: namespace });
  if (project === undefined) return refuse(reasonOf('FL_CLAIM_PROJECT', { project: namespace }));
  const patterns = project.spec.sources ?? [];
  if (!isAllowed(patterns, shown)) return refuse(reasonOf('FL_SOURCE_FORBIDDEN', { project: namespace, url: shown }));
  const none: ChartOrigin = {
    url,
    isOci,
    project: namespace,
    shown,
    ca: undefined,
    basic: undefined,
    authorize: () => undefined,
    mayUse: (other) => other.origin === url.origin || isAllowed(patterns, shownOf(other, false)),
  };
  if (credentialName === undefined) return { ok: true, origin: none };
  const credential = await context.read.get(Credential, { namespace, name: credentialName });
  if (credential === undefined) return refuse(reasonOf('FL_SOURCE_NO_CREDENTIAL', { credential: credentialName }));
  const unfit = (why: string): CheckedOrigin =>
    refuse(reasonOf('FL_SOURCE_URL', { url: shown, why: `the Credential ${credentialName} ${why}` }));
  let secrets: Readonly<Record<string, string>>;
  try {
    secrets = (await context.decrypt(credential)).reveal();
  } catch (error) {
    context.log.error({ credential: credentialName, namespace, error }, 'a credential could not be decrypted');
    return unfit('cannot be decrypted by this plane; write it again');
  }
  const { type, hosts } = credential.spec;
  const value = (name: string): string | undefined => (Object.hasOwn(secrets, name) ? secrets[name] : undefined);
  const ca = value('ca');
  if (type === 'tls') {
    return ca === undefined ? unfit('has no ca') : { ok: true, origin: { ...none, ca } };
  }
  if (type === 'ssh') return unfit('is of type ssh; charts take basic, bearer or tls');
  if (!mayCarryCredential(url, hosts)) {
    return unfit(url.protocol === 'https:' ? `may not be sent to ${url.host} (spec.hosts)` : 'is sent over https:// only');
  }
  const secret = value(type === 'bearer' ? 'token' : 'password');
  if (secret === undefined || secret === '') return unfit(type === 'bearer' ? 'has no token' : 'has no password');
  const words = type === 'bearer' ? secret : `${value('username') ?? ''}:${secret}`;
  // A line break would be a second header.
  if (hasControls(words)) return unfit('holds a control character');
  const header = new Sensitive(type === 'bearer' ? `Bearer ${secret}` : `Basic ${Buffer.from(words).toString('base64')}`);
  const authorize = (origin: string): Sensitive<string> | undefined => {
    const other = new URL(origin);
    // Another origin than the repository's only where the Credential names its host.
    const isFor =
      origin === url.origin ? mayCarryCredential(other, hosts) : hosts !== undefined && mayCarryCredential(other, hosts);
    return isFor ? header : undefined;
  };
  return { ok: true, origin: { ...none, ca, basic: type === 'basic' ? header : undefined, authorize } };
}

function shownOf(url: URL, isOci: boolean): string {
  const text = `${isOci ? 'oci:' : url.protocol}//${url.host}${url.pathname}`;
  return text.replace(/\/$/, '');
}

/** Whether a list of patterns covers a URL. A pattern for a directory, `https://charts.example.com/**`, covers the directory itself. */
export function isAllowed(patterns: readonly string[], shown: string): boolean {
  return patterns.some((pattern) => globMatches(pattern.replace(/\/$/, ''), shown) || globMatches(pattern, `${shown}/`));
}

/** An error of the fetcher as a reason of the source room. Undefined: it is none of the fetcher's. */
export function reasonOfFetch(error: unknown, shown: string, credential: string | undefined): UntimedReason | undefined {
  if (!(error instanceof FairleadError)) return undefined;
  const { code, message, details } = error;
  switch (code) {
    case 'FL_FETCH_ADDRESS':
      return reasonOf('FL_SOURCE_URL', { url: shown, why: typeof details['why'] === 'string' ? details['why'] : message });
    case 'FL_FETCH_SCHEME':
    case 'FL_FETCH_REDIRECT':
    case 'FL_FETCH_ENCODING':
      return reasonOf('FL_SOURCE_REFUSED', { url: shown, words: message });
    case 'FL_FETCH_LIMIT':
      return reasonOf('FL_SOURCE_LIMIT', {
        url: shown,
        what: 'what it sent, in bytes,',
        value: `more than ${String(details['limit'])}`,
        limit: details['limit'],
      });
    case 'FL_FETCH_DENIED':
      return reasonOf('FL_SOURCE_DENIED', { url: shown, credential: credential ?? '(none is given)' });
    default:
      return undefined;
  }
}
