import { request } from 'node:http';
import { lookup } from 'node:dns/promises';
import type { Socket } from 'node:net';
import { FairleadError, messageOf, parseProxy, type ProxyAddress } from '#base';
import { parseAddress } from './addresses.ts';
import type { EgressOptions, EgressPolicy } from './egress-policy.ts';
import { createGuardedConnect, type ConnectTarget, type GuardedConnect, type Resolve } from './guarded-connect.ts';

export interface UpstreamOptions {
  /** `http://[user:password@]host:port`; it tunnels (`CONNECT`). */
  readonly proxy: string;
  /** Hosts that are reached without it: `git.example.com`, `.example.com` (all below), `10.0.0.7`. */
  readonly direct?: readonly string[];
}

/** How long the plane tries to know a name itself before it leaves it to the proxy. */
const resolveMs = 2_000;

const systemResolve: Resolve = async (host) => (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);

/**
 * Connects by way of an HTTP proxy of the operator, where the plane's own network leads nowhere. Addresses, and names that the
 * plane can resolve, are checked by the policy as if it connected itself; what other names lead to is for the proxy to decide.
 *
 * Errors: `FL_FETCH_PROXY` at once when the proxy's address is none; later those of `createGuardedConnect`.
 */
export function createUpstreamConnect(
  options: UpstreamOptions,
  policy: EgressPolicy,
  direct: GuardedConnect,
  resolve: Resolve = systemResolve,
): GuardedConnect {
  const proxy = proxyOf(options.proxy);
  const around = (options.direct ?? []).map((one) => one.trim().toLowerCase().replace(/^\*\./, '.'));
  return async (target) => {
    const host = target.host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
    if (around.some((one) => host === one || (one.startsWith('.') && host.endsWith(one)))) return direct(target);
    await refuse(policy, host, target.port, resolve);
    return tunnel(proxy, host, target);
  };
}

/** The one way out: by the operator's proxy if there is one. */
export function createEgress({ proxy, direct = [] }: EgressOptions = {}, policy: EgressPolicy): GuardedConnect {
  const guarded = createGuardedConnect(policy);
  return proxy === undefined ? guarded : createUpstreamConnect({ proxy: proxy.reveal(), direct }, policy, guarded);
}

/** The message does not repeat the address: it may hold a password. */
function proxyOf(text: string): ProxyAddress {
  const proxy = parseProxy(text);
  if (proxy !== undefined) return proxy;
  throw new FairleadError(
    'FL_FETCH_PROXY',
    'the egress proxy is no address like http://proxy.example.com:3128; correct --egress-proxy (a % in a password is written %25)',
    { kind: 'invalid' },
  );
}

/** The last part is a number: no name ends so, but what reads it as an address (127.1, 0x7f000001) may find one that is refused. */
const numbered = /(?:^|\.)(?:\d+|0x[0-9a-f]*)\.?$/;
/** RFC 6761, section 6.3. */
const localName = /(?:^|\.)localhost\.?$/;

async function refuse(policy: EgressPolicy, host: string, port: number, resolve: Resolve): Promise<void> {
  const addresses = await addressesOf(host, resolve);
  // The proxy asks again and takes any of them: each must be one that the plane would connect to itself.
  const why =
    addresses === undefined
      ? 'an address is written as usual, such as 10.0.0.7'
      : addresses.map((address) => policy.refusal(address, port)).find((refusal) => refusal !== undefined);
  if (why === undefined) return;
  throw new FairleadError('FL_FETCH_ADDRESS', `${host}:${port} is not connected to: ${why}`, {
    kind: 'denied',
    details: { host, port, why },
  });
}

/** None for a name that the plane does not know; undefined for an address in a form that only some read as one. */
async function addressesOf(host: string, resolve: Resolve): Promise<readonly string[] | undefined> {
  if (parseAddress(host) !== undefined) return [host];
  if (numbered.test(host)) return undefined;
  if (localName.test(host)) return ['127.0.0.1'];
  const { promise, resolve: giveUp } = Promise.withResolvers<readonly string[]>();
  const timer = setTimeout(() => giveUp([]), resolveMs);
  // Behind a proxy most names are not known, and that is no error.
  return Promise.race([resolve(host).catch(() => []), promise]).finally(() => clearTimeout(timer));
}

function tunnel(proxy: ProxyAddress, host: string, { port, signal, timeoutMs = 10_000 }: ConnectTarget): Promise<Socket> {
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const deadline = AbortSignal.timeout(timeoutMs);
  const failed = (words: string, cause?: unknown): FairleadError =>
    new FairleadError('FL_FETCH_CONNECT', `cannot connect to ${authority}: ${words}`, {
      kind: 'unavailable',
      ...(cause === undefined ? {} : { cause }),
    });
  // It becomes a line of a request.
  if (!/^[\w.~%:-]+$/.test(host)) return Promise.reject(failed('its name is none'));
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return Promise.reject(failed(`${port} is no port`));
  const name = `the proxy ${proxy.host}:${proxy.port}`;
  return new Promise((resolve, reject) => {
    const connecting = request({
      host: proxy.host,
      port: proxy.port,
      method: 'CONNECT',
      path: authority,
      agent: false,
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
      headers: {
        host: authority,
        ...(proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization.reveal() }),
      },
    });
    connecting.on('connect', ({ statusCode = 0 }, socket: Socket, head) => {
      // Until somebody listens, an error of an idle socket must not end the process.
      socket.on('error', () => undefined);
      // RFC 9110, section 9.3.6: any 2xx.
      if (statusCode >= 200 && statusCode < 300) {
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
        return;
      }
      socket.destroy();
      const advice =
        statusCode === 407 ? 'wants a user name and password: give them in --egress-proxy' : `answered ${statusCode}`;
      reject(failed(`${name} ${advice}`));
    });
    connecting.on('response', (response) => {
      response.destroy();
      reject(failed(`${name} answered ${response.statusCode ?? 0}; it may be no proxy`));
    });
    connecting.on('error', (error) =>
      reject(
        failed(deadline.aborted ? `${name} did not answer in time` : `${name} cannot be reached (${messageOf(error)})`, error),
      ),
    );
    connecting.end();
  });
}
