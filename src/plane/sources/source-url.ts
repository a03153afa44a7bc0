/** Which addresses the plane reads from. */
export interface UrlPolicy {
  /** `file://`: demo and tests only. */
  readonly allowFileUrls: boolean;
  /** `http://`; a credential is sent over it to the loopback only. */
  readonly allowHttp: boolean;
}

export type CheckedUrl =
  | {
      readonly ok: true;
      /** In normal form: what is shown and matched. */
      readonly url: URL;
      /** What git is given: the same, or the short form of ssh, whose path begins in the user's home directory. */
      readonly address: string;
    }
  | { readonly ok: false; /** Fit to be shown: never holds user information. */ readonly shown: string; readonly why: string };

/**
 * Brings a URL to its normal form (WHATWG URL: dot segments resolved) and refuses what could mean something else to git, to
 * the server or to a Project's globs. Pure.
 */
export function checkUrl(text: string, policy: UrlPolicy): CheckedUrl {
  const short = shortForm(text);
  let url: URL;
  try {
    url = new URL(short === undefined ? text : `ssh://${short.host}/${short.path}`);
  } catch {
    return { ok: false, shown: 'spec.url', why: 'it is no URL' };
  }
  const refuse = (why: string): CheckedUrl => ({ ok: false, shown: shownUrl(url), why });
  if (url.password !== '' || (url.username !== '' && url.protocol !== 'ssh:'))
    return refuse('it carries a credential; put that into a Credential');
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
    case 'ssh:': {
      const why = sshFault(url);
      if (why !== undefined) return refuse(why);
      // What the URL standard does by itself for the schemes it knows.
      url.hostname = url.hostname.toLowerCase();
      if (url.port === '22') url.port = '';
      break;
    }
    default:
      return refuse(`${url.protocol}// is not supported`);
  }
  if (url.protocol !== 'file:' && url.hostname === '') return refuse('it names no host');
  // The path of the normal form: dot segments must not mean another repository to the server than to a Project's globs.
  const address = short === undefined ? url.href : `${url.username}@${url.hostname}:${url.pathname.slice(1)}`;
  return { ok: true, url, address };
}

/** `git@host:team/repo.git`, as scp and many Git hosts write it. A line that holds `://` is a URL. */
function shortForm(text: string): { readonly host: string; readonly path: string } | undefined {
  if (text.includes('://')) return undefined;
  const match = /^([A-Za-z0-9_.-]+@[A-Za-z0-9.-]+):([^/:].*)$/.exec(text);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { host: match[1], path: match[2] };
}

/** Names and paths end up in arguments of ssh and in a line for the server's shell, which git quotes. */
function sshFault(url: URL): string | undefined {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(url.username)) return 'it names no user; write ssh://git@host/path';
  if (!/^(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])$/.test(url.hostname))
    return 'it names no host that ssh could ask';
  if (url.pathname.length < 2) return 'it names no repository';
  if (/[%\\]/.test(url.pathname) || url.pathname.startsWith('/-')) return 'its path holds characters that are not used in one';
  return undefined;
}

/** A URL as it may be shown anywhere. The user of ssh is part of the address and no secret. */
export function shownUrl(url: URL): string {
  const shown = new URL(url);
  if (url.protocol !== 'ssh:') shown.username = '';
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
  const isEncrypted = url.protocol === 'https:' || url.protocol === 'ssh:';
  if (!isEncrypted && !(url.protocol === 'http:' && isLoopback(url))) return false;
  return (
    hosts === undefined ||
    hosts.some((host) => host.toLowerCase() === url.host.toLowerCase() || host.toLowerCase() === url.hostname.toLowerCase())
  );
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
