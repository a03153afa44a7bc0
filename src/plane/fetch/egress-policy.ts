import { networkInterfaces } from 'node:os';
import { FairleadError, type Sensitive } from '#base';
import {
  classify,
  formatAddress,
  isWithin,
  parseAddress,
  parseRange,
  type AddressClass,
  type AddressRange,
} from './addresses.ts';

export interface EgressOptions {
  /** Ranges the plane may connect to although it usually does not, such as `127.0.0.0/8`. */
  readonly allow?: readonly string[];
  /** Ranges it never connects to, such as `10.0.0.0/8`; stronger than `allow`. */
  readonly deny?: readonly string[];
  /** HTTP proxy by which sources are read, `http://[user:password@]host:port`. Absent: the plane connects itself. */
  readonly proxy?: Sensitive<string>;
  /** Hosts that are reached without the proxy. */
  readonly direct?: readonly string[];
}

/**
 * Where the plane may connect to on behalf of a project (docs/adr/0010-egress.md). Public and private addresses: yes, unless
 * denied. Loopback, link-local, multicast, reserved: only where allowed. Cloud metadata and the plane's own listeners: never.
 */
export class EgressPolicy {
  readonly #allow: readonly AddressRange[];
  readonly #deny: readonly AddressRange[];
  readonly #ownPorts = new Set<number>();

  /** Errors: FL_FETCH_RANGE. */
  constructor(options: EgressOptions = {}) {
    this.#allow = (options.allow ?? []).map(rangeOf);
    this.#deny = (options.deny ?? []).map(rangeOf);
  }

  /** The plane listens there itself: a project could otherwise speak to it from inside. */
  addOwnPort(port: number): void {
    this.#ownPorts.add(port);
  }

  /** Why the plane does not connect to this address, or undefined when it may. */
  refusal(address: string, port: number): string | undefined {
    const bytes = parseAddress(address);
    if (bytes === undefined) return `"${address}" is no IP address`;
    const found = classify(bytes);
    const shown = formatAddress(bytes);
    if (found === 'metadata') return `${shown} is a cloud metadata address`;
    if (this.#ownPorts.has(port) && isOfThisMachine(bytes, found)) return `${shown}:${port} is the plane itself`;
    if (this.#deny.some((range) => isWithin(bytes, range))) return `${shown} is denied by --deny-egress`;
    if (found === 'public' || found === 'private') return undefined;
    if (this.#allow.some((range) => isWithin(bytes, range))) return undefined;
    return `${shown} is a ${found} address, which takes --allow-egress on the plane`;
  }
}

function rangeOf(text: string): AddressRange {
  const range = parseRange(text);
  if (range === undefined) {
    throw new FairleadError('FL_FETCH_RANGE', `"${text}" is no address range; write 10.0.0.0/8 or fd00::/8`, { kind: 'invalid' });
  }
  return range;
}

function isOfThisMachine(bytes: Uint8Array, found: AddressClass): boolean {
  if (found === 'loopback' || found === 'unspecified') return true;
  return Object.values(networkInterfaces()).some((list) =>
    list?.some((one) => {
      const own = parseAddress(one.address);
      return own !== undefined && Buffer.compare(own, bytes) === 0;
    }),
  );
}
