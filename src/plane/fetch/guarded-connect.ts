import { lookup } from 'node:dns/promises';
import { connect as connectSocket, type Socket } from 'node:net';
import { codeOf, FairleadError, messageOf } from '#base';
import { formatAddress, parseAddress } from './addresses.ts';
import type { EgressPolicy } from './egress-policy.ts';

export interface ConnectTarget {
  /** A name or an address, with or without brackets. */
  readonly host: string;
  readonly port: number;
  readonly signal?: AbortSignal;
  /** For the name and all its addresses together; default 10 s. */
  readonly timeoutMs?: number;
}

/** All addresses of a name. */
export type Resolve = (host: string) => Promise<readonly string[]>;

export type GuardedConnect = (target: ConnectTarget) => Promise<Socket>;

const maxAddresses = 8;
/** When an address has not answered for so long the next one is tried beside it (RFC 8305). */
const staggerMs = 300;

const systemResolve: Resolve = async (host) => (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);

/**
 * The only way out of the plane on behalf of a project: resolves a name, drops the addresses that the policy refuses, and
 * connects to one of the rest *by address*, so that no second resolution can give another one (DNS rebinding).
 *
 * Errors: `FL_FETCH_ADDRESS` (refused; a retry does not help), `FL_FETCH_CONNECT` (no name, no answer, time over).
 */
export function createGuardedConnect(policy: EgressPolicy, resolve: Resolve = systemResolve): GuardedConnect {
  return async (target) => {
    const { port } = target;
    const host = target.host.replace(/^\[(.*)\]$/, '$1');
    const deadline = AbortSignal.timeout(target.timeoutMs ?? 10_000);
    const signal = target.signal === undefined ? deadline : AbortSignal.any([target.signal, deadline]);
    const failed = (words: string, cause?: unknown): FairleadError =>
      new FairleadError('FL_FETCH_CONNECT', `cannot connect to ${host}:${port}: ${words}`, {
        kind: 'unavailable',
        ...(cause === undefined ? {} : { cause }),
      });
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw failed(`${port} is no port`);
    let addresses: readonly string[];
    try {
      addresses = parseAddress(host) === undefined ? await aborted(resolve(host), signal) : [host];
    } catch (error) {
      throw failed(signal.aborted ? 'its name was not resolved in time' : wordsOf(error), error);
    }
    const refusals = addresses.map((address) => policy.refusal(address, port));
    const allowed = addresses.filter((_, index) => refusals[index] === undefined).slice(0, maxAddresses);
    if (allowed.length === 0) {
      const why = refusals.find((refusal) => refusal !== undefined);
      if (why === undefined) throw failed('its name has no address');
      throw new FairleadError('FL_FETCH_ADDRESS', `${host}:${port} is not connected to: ${why}`, {
        kind: 'denied',
        details: { host, port, why },
      });
    }
    try {
      return await firstOf(allowed, port, signal, policy);
    } catch (error) {
      if (error instanceof FairleadError) throw error;
      throw failed(signal.aborted ? 'no answer in time' : wordsOf(error), error);
    }
  };
}

/** Connects to the first address that answers; the others are dropped. */
function firstOf(addresses: readonly string[], port: number, signal: AbortSignal, policy: EgressPolicy): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const open = new Set<Socket>();
    const timers: NodeJS.Timeout[] = [];
    let next = 0;
    const end = (): void => {
      for (const timer of timers) clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      for (const socket of open) socket.destroy();
    };
    const onAbort = (): void => {
      end();
      reject(signal.reason as Error);
    };
    const tryNext = (): void => {
      const address = addresses[next];
      if (address === undefined) return;
      next += 1;
      const socket = connectSocket({ host: address, port });
      open.add(socket);
      socket.once('connect', () => {
        open.delete(socket);
        socket.removeAllListeners('error');
        // Until somebody listens, an error of an idle socket must not end the process.
        socket.on('error', () => undefined);
        end();
        // What we are connected to, not what we asked for.
        const why = policy.refusal(socket.remoteAddress ?? '', port);
        if (why === undefined) resolve(socket);
        else {
          socket.destroy();
          reject(new FairleadError('FL_FETCH_ADDRESS', `${address}:${port} is not connected to: ${why}`, { kind: 'denied' }));
        }
      });
      socket.once('error', (error) => {
        open.delete(socket);
        if (next < addresses.length) tryNext();
        else if (open.size === 0) {
          end();
          reject(error);
        }
      });
      if (next < addresses.length) timers.push(setTimeout(tryNext, staggerMs));
    };
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    tryNext();
  });
}

/** A lookup cannot be cancelled; it can be left alone. */
async function aborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    work.catch(() => undefined);
  }
}

function wordsOf(error: unknown): string {
  switch (codeOf(error)) {
    case 'ENOTFOUND':
      return 'its name is not known';
    case 'EAI_AGAIN':
      return 'its name cannot be resolved at the moment';
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
      return 'no route to it';
    case 'ECONNRESET':
      return 'connection reset';
    default:
      return messageOf(error);
  }
}

/** `host:port` as it is compared: lower case, brackets around IPv6. */
export function authorityOf(host: string, port: number): string {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  const bytes = bare.includes(':') ? parseAddress(bare) : undefined;
  return bytes === undefined ? `${bare}:${port}` : `[${formatAddress(bytes)}]:${port}`;
}
