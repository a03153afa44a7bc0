import { Sensitive } from './sensitive.ts';

/** An HTTP proxy that tunnels (`CONNECT`), and who we are to it. */
export interface ProxyAddress {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** Value of `Proxy-Authorization`. */
  readonly authorization: Sensitive<string> | undefined;
  /** The whole of it as a URL. */
  readonly url: Sensitive<string>;
}

/** `http://[user:password@]host[:port]`; undefined for anything else. It may hold a password: no message repeats it. Pure. */
export function parseProxy(text: string): ProxyAddress | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' || url.hostname === '' || url.pathname !== '/' || url.search !== '' || url.hash !== '')
    return undefined;
  const credentials = decoded(`${url.username}:${url.password}`);
  if (credentials === undefined) return undefined;
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 80 : Number(url.port),
    authorization: credentials === ':' ? undefined : new Sensitive(`Basic ${Buffer.from(credentials).toString('base64')}`),
    url: new Sensitive(url.href),
  };
}

/** Undefined for a `%` that begins no character: the URL parser lets it pass. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
