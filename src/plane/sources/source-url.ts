/** Which addresses the plane reads from. */
export interface UrlPolicy {
  /** `file://`: demo and tests only. */
  readonly allowFileUrls: boolean;
  /** `http://`; a credential is sent over it to the loopback only. */
  readonly allowHttp: boolean;
}

export type CheckedUrl =
  | { readonly ok: true; /** In normal form: what is shown, matched and handed to git. */ readonly url: URL }
  | { readonly ok: false; /** Fit to be shown: never holds user information. */ readonly shown: string; readonly why: string };

/**
 * Brings a URL to its normal form (WHATWG URL: dot segments resolved) and refuses what could mean something else to git, to
 * the server or to a Project's globs. Pure.
 */
export function checkUrl(text: string, policy: UrlPolicy): CheckedUrl {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return { ok: false, shown: 'spec.url', why: 'it is no URL' };
  }
  const refuse = (why: string): CheckedUrl => ({ ok: false, shown: shownUrl(url), why });
  if (url.username !== '' || url.password !== '') return refuse('it carries a credential; put that into a Credential');
  if (url.search !== '' || url.hash !== '') return refuse('it has a query or fragment');
  if (/%(?:2f|5c|0[0-9a-f]|1[0-9a-f]|7f)/i.test(url.pathname))
    return refuse('its path holds an encoded slash or control character');
  switch (url.protocol) {
    case 'https:':
      break;
    case 'http:':
      if (!policy.allowHttp) return refuse('plain http:// is not allowed on this plane');
      break;
    case 'file:':
      if (!policy.allowFileUrls) return refuse('file:// is not allowed on this plane');
      if (url.host !== '') return refuse('a file:// URL names no host');
      break;
    case 'ssh:':
      return refuse('ssh:// is not supported yet; use https:// with a Credential');
    default:
      return refuse(`${url.protocol}// is not supported`);
  }
  if (url.protocol !== 'file:' && url.hostname === '') return refuse('it names no host');
  return { ok: true, url };
}

/** A URL as it may be shown anywhere. */
export function shownUrl(url: URL): string {
  const shown = new URL(url);
  shown.username = '';
  shown.password = '';
  shown.search = '';
  shown.hash = '';
  return shown.href;
}

export function isLoopback(url: URL): boolean {
  return url.hostname === 'localhost' || url.hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(url.hostname);
}

/** Whether a credential may be sent to this URL: to one of `hosts` (default: any), encrypted unless it stays on this machine. */
export function mayCarryCredential(url: URL, hosts: readonly string[] | undefined): boolean {
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url))) return false;
  return hosts === undefined || hosts.some((host) => host.toLowerCase() === url.host || host.toLowerCase() === url.hostname);
}

/**
 * Whether a Project's source pattern covers a URL: `*` within a path segment, `**` across. Both sides lose a trailing `/`
 * and `.git`. Quadratic at worst, whatever the pattern.
 */
export function matchesSource(pattern: string, url: URL): boolean {
  return globMatches(trim(pattern), trim(shownUrl(url)));
}

function trim(text: string): string {
  return text.replace(/\/$/, '').replace(/\.git$/, '');
}

/** `*` matches any run without `/`, `**` any run. */
export function globMatches(pattern: string, text: string): boolean {
  const tokens = pattern.match(/\*\*+|\*|[^*]/gsu) ?? [];
  const characters = Array.from(text);
  // reachable[j]: the tokens so far match the first j characters.
  let reachable: boolean[] = [true, ...characters.map(() => false)];
  for (const token of tokens) {
    const next: boolean[] = Array.from({ length: characters.length + 1 }, () => false);
    for (let j = 0; j <= characters.length; j += 1) {
      const before = j > 0 && next[j - 1] === true;
      if (token === '*') next[j] = reachable[j] === true || (before && characters[j - 1] !== '/');
      else if (token.startsWith('**')) next[j] = reachable[j] === true || before;
      else next[j] = j > 0 && reachable[j - 1] === true && characters[j - 1] === token;
    }
    reachable = next;
  }
  return reachable[characters.length] === true;
}
