/**
 * What an IP address is, for deciding whether the plane may connect to it. Pure.
 * Sources: the IANA special-purpose registries for IPv4 and IPv6, RFC 6890, RFC 4291, RFC 6052.
 */
export type AddressClass =
  | 'public'
  /** RFC 1918, RFC 6598 (shared, used by overlay networks), unique local IPv6. */
  | 'private'
  | 'loopback'
  | 'link-local'
  /** Where clouds answer every machine with its credentials. */
  | 'metadata'
  | 'unspecified'
  | 'multicast'
  /** Reserved, documentation, benchmarking, and forms that carry another address in a way that cannot be checked. */
  | 'reserved';

/** A prefix of the IPv6 space; IPv4 lives at ::ffff:0:0/96. */
export interface AddressRange {
  readonly bytes: Uint8Array;
  readonly prefix: number;
  /** As it was written. */
  readonly text: string;
}

/** 16 bytes; IPv4 in its mapped form. A zone (`%eth0`) is ignored. Undefined for anything that is no address. */
export function parseAddress(text: string): Uint8Array | undefined {
  const bare = text.replace(/^\[(.*)\]$/, '$1').replace(/%.*$/, '');
  if (bare.length > 45) return undefined;
  const v4 = parseV4(bare);
  if (v4 !== undefined) return mapped(v4);
  return parseV6(bare);
}

/** `10.0.0.0/8`, `fd00::/8`, a single address. Undefined for anything else, and for bits set below the prefix. */
export function parseRange(text: string): AddressRange | undefined {
  const [address = '', length, ...rest] = text.split('/');
  if (rest.length > 0) return undefined;
  const bytes = parseAddress(address);
  if (bytes === undefined) return undefined;
  const isV4 = !address.includes(':');
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return undefined;
  const given = length === undefined ? (isV4 ? 32 : 128) : Number(length);
  if (given > (isV4 ? 32 : 128)) return undefined;
  const range = { bytes, prefix: isV4 ? given + 96 : given, text };
  for (let bit = range.prefix; bit < 128; bit += 1) if (bitOf(bytes, bit) !== 0) return undefined;
  return range;
}

export function isWithin(address: Uint8Array, range: AddressRange): boolean {
  const whole = range.prefix >> 3;
  for (let i = 0; i < whole; i += 1) if (address[i] !== range.bytes[i]) return false;
  for (let bit = whole * 8; bit < range.prefix; bit += 1) if (bitOf(address, bit) !== bitOf(range.bytes, bit)) return false;
  return true;
}

/** The addresses that a connection to this one may reach: itself and, for translated forms, what it carries. */
export function classify(address: Uint8Array): AddressClass {
  for (const { range, class: found } of special) {
    if (!isWithin(address, range)) continue;
    // Translation of RFC 6052 reaches the IPv4 address in its last four bytes.
    return found === 'translated' ? classify(mapped(address.subarray(12))) : found;
  }
  return 'public';
}

/** Lower case, shortest usual form; for messages. */
export function formatAddress(address: Uint8Array): string {
  if (isWithin(address, v4Space)) return [...address.subarray(12)].join('.');
  const words = Array.from({ length: 8 }, (_, i) => (((address[2 * i] ?? 0) << 8) | (address[2 * i + 1] ?? 0)).toString(16));
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1);
}

const table: readonly (readonly [string, AddressClass | 'translated'])[] = [
  // The most telling first. AWS, Google, Azure and most others; AWS and Google over IPv6; Alibaba; Azure's wire server.
  ['169.254.169.254/32', 'metadata'],
  ['169.254.170.2/32', 'metadata'],
  ['fd00:ec2::254/128', 'metadata'],
  ['fd20:ce::254/128', 'metadata'],
  ['100.100.100.200/32', 'metadata'],
  ['168.63.129.16/32', 'metadata'],
  ['0.0.0.0/8', 'unspecified'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'private'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'reserved'],
  ['192.0.2.0/24', 'reserved'],
  ['192.88.99.0/24', 'reserved'],
  ['192.168.0.0/16', 'private'],
  ['198.18.0.0/15', 'reserved'],
  ['198.51.100.0/24', 'reserved'],
  ['203.0.113.0/24', 'reserved'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
  ['::ffff:0.0.0.0/96', 'public'],
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  // IPv4-compatible (obsolete), and everything else below ::/32.
  ['::/32', 'reserved'],
  ['64:ff9b::/96', 'translated'],
  // Local translation prefixes, 6to4, Teredo, discard, documentation, segment routing: where they end cannot be seen.
  ['64:ff9b:1::/48', 'reserved'],
  ['100::/64', 'reserved'],
  ['2001::/23', 'reserved'],
  ['2001:db8::/32', 'reserved'],
  ['2002::/16', 'reserved'],
  ['3fff::/20', 'reserved'],
  ['5f00::/16', 'reserved'],
  ['fc00::/7', 'private'],
  ['fe80::/10', 'link-local'],
  ['fec0::/10', 'reserved'],
  ['ff00::/8', 'multicast'],
  // What is outside global unicast was given to nobody.
  ['2000::/3', 'public'],
  ['::/0', 'reserved'],
];

const special = table.flatMap(([text, found]) => {
  const range = parseRange(text);
  return range === undefined ? [] : [{ range, class: found }];
});

const v4Space: AddressRange = { bytes: mapped(new Uint8Array(4)), prefix: 96, text: '::ffff:0:0/96' };

function mapped(v4: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes[10] = 0xff;
  bytes[11] = 0xff;
  bytes.set(v4, 12);
  return bytes;
}

function bitOf(bytes: Uint8Array, bit: number): number {
  return ((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
}

/** Dotted decimal only: leading zeros, hexadecimal and short forms mean different things to different readers. */
function parseV4(text: string): Uint8Array | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const parts = match.slice(1);
  if (parts.some((part) => Number(part) > 255 || (part.length > 1 && part.startsWith('0')))) return undefined;
  return Uint8Array.from(parts, Number);
}

function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map(wordsOf);
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = 16 - head.length - (tail?.length ?? 0);
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined;
  return Uint8Array.from([...head, ...Array.from({ length: missing }, () => 0), ...(tail ?? [])]);
}

/** Bytes of `a:b:1.2.3.4`; an empty text has none. */
function wordsOf(text: string): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    const v4 = index === parts.length - 1 ? parseV4(part) : undefined;
    if (v4 !== undefined) bytes.push(...v4);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) bytes.push(parseInt(part, 16) >> 8, parseInt(part, 16) & 0xff);
    else return undefined;
  }
  return bytes;
}
