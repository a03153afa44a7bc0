import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import type { ClientConfig } from 'pg';
import { FairleadError, messageOf, Sensitive } from '#base';

/** Where the database is, and how to reach it. */
export interface DatabaseAddress {
  /** `postgres://user@host:port/database`, without the password: may be shown. */
  readonly name: string;
  readonly client: Sensitive<ClientConfig>;
}

const parameters: ReadonlySet<string> = new Set(['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'host']);

/**
 * What `postgres://user:password@host:port/database?sslmode=…` says. `sslmode` as libpq has it: `disable`, `require` (TLS
 * without knowing whom one talks to; with `sslrootcert` it is `verify-ca`), `verify-ca`, `verify-full`. Left out it is
 * `verify-full`, except on a loopback address or a socket (`?host=/run/postgresql`), where it is `disable`.
 * Error: FL_STORE_URL, which never quotes the password.
 */
export function parseDatabaseUrl(text: string): DatabaseAddress {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  if (url === undefined || !['postgres:', 'postgresql:'].includes(url.protocol)) {
    throw refused('it is no URL of the form postgres://user:password@host:port/database');
  }
  for (const name of url.searchParams.keys()) {
    if (!parameters.has(name)) throw refused(`parameter ${name} is not known; known are ${[...parameters].join(', ')}`);
  }
  const database = decodeURIComponent(url.pathname.slice(1));
  const user = decodeURIComponent(url.username);
  if (database === '' || user === '') throw refused('it names no user or no database');
  const host = url.searchParams.get('host') ?? url.hostname.replace(/^\[|\]$/g, '');
  if (host === '') throw refused('it names no host');
  const isLocal = host.startsWith('/') || host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
  const ssl = tlsOf(url.searchParams, isLocal);
  const port = url.port === '' ? 5432 : Number(url.port);
  const password = decodeURIComponent(url.password);
  return {
    name: `postgres://${user}@${host}:${port}/${database}`,
    client: new Sensitive({
      host,
      port,
      user,
      database,
      ssl,
      // An empty function, so that pg looks neither into the environment nor into ~/.pgpass.
      password: password === '' ? () => '' : password,
    }),
  };
}

function tlsOf(parameters: URLSearchParams, isLocal: boolean): ClientConfig['ssl'] {
  const file = (name: string): string | undefined => {
    const path = parameters.get(name);
    if (path === null) return undefined;
    try {
      return readFileSync(path, 'utf8');
    } catch (cause) {
      throw refused(`${name} cannot be read: ${messageOf(cause)}`);
    }
  };
  const ca = file('sslrootcert');
  const [cert, key] = [file('sslcert'), file('sslkey')];
  const own = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  const mode = parameters.get('sslmode') ?? (isLocal && ca === undefined ? 'disable' : 'verify-full');
  switch (mode) {
    case 'disable':
      return false;
    case 'require':
      return ca === undefined ? { ...own, rejectUnauthorized: false } : { ...own, checkServerIdentity: () => undefined };
    case 'verify-ca':
      return { ...own, checkServerIdentity: () => undefined };
    case 'verify-full':
      return { ...own, rejectUnauthorized: true };
    default:
      throw refused(`sslmode ${mode} is not known; use disable, require, verify-ca or verify-full`);
  }
}

function refused(why: string): FairleadError {
  return new FairleadError('FL_STORE_URL', `the database URL cannot be used: ${why}`, { kind: 'invalid' });
}
