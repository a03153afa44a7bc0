import type { IncomingMessage } from 'node:http';
import { FairleadError } from '#base';
import type { Method, RequestHead } from './types.ts';

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
/** Headers of which a second one would let two readers see two requests. */
const SINGLE = new Set(['authorization', 'host', 'content-type', 'content-length', 'cookie', 'origin']);

/** Reads what stands before the body. Throws for a request that could be read in two ways. */
export function readHead(message: IncomingMessage): RequestHead {
  const url = message.url ?? '';
  if (!url.startsWith('/')) throw bad('the request target must be a path');
  const mark = url.indexOf('?');
  const path = mark < 0 ? url : url.slice(0, mark);
  const segments = path.slice(1).split('/').map(decodeSegment);
  if (segments.some((segment) => segment === '.' || segment === '..' || segment.includes('/') || segment.includes('\0'))) {
    throw bad('the path must not contain ., .. or an encoded /');
  }
  const seen = new Set<string>();
  for (let i = 0; i < message.rawHeaders.length; i += 2) {
    const name = (message.rawHeaders[i] ?? '').toLowerCase();
    if (SINGLE.has(name) && seen.has(name)) throw bad(`the header ${name} was sent twice`);
    seen.add(name);
    if (name.startsWith('impersonate-') || name.startsWith('x-remote-')) {
      throw new FairleadError(
        'FL_HTTP_IMPERSONATION',
        'this plane does not take identities from headers; remove Impersonate-* and X-Remote-*',
        {
          kind: 'denied',
        },
      );
    }
  }
  const method = message.method ?? '';
  if (!METHODS.has(method)) throw new FairleadError('FL_HTTP_METHOD', `the method ${method} is not known`, { kind: 'invalid' });
  return {
    // One of METHODS.
    method: method as Method,
    url,
    path,
    segments,
    query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)),
    headers: message.headers,
    remoteAddress: message.socket.remoteAddress ?? '',
  };
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw bad('the path is not encoded as it should be');
  }
}

function bad(why: string): FairleadError {
  return new FairleadError('FL_HTTP_BAD_REQUEST', why, { kind: 'invalid' });
}

/** Whether an address is this machine itself. */
export function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(address);
}
