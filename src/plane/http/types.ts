import type { IncomingHttpHeaders } from 'node:http';

/** The plane's surfaces (architecture.md, section 3), the system endpoints, and the console's static files. */
export const surfaces = ['kubernetes', 'views', 'live', 'agent', 'hooks', 'system', 'console'] as const;
export type Surface = (typeof surfaces)[number];

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';

/** Who asks. */
export type Principal =
  | { readonly type: 'admin'; readonly name: string }
  | {
      readonly type: 'agent';
      readonly cluster: string;
      readonly keyId: string;
      /** `sha256:<hex>` the signed request promised; checked once the body is read. */
      readonly expectBodyDigest?: string;
      /** When it signed the request, by the plane's clock as it knows it, ms: orders what several processes are told. */
      readonly signedAtMs?: number;
    }
  | { readonly type: 'anonymous' };

/** `admin/<name>`, `agent/<cluster>`, `anonymous`: as audit leaves and logs name a principal. */
export function actorOf(principal: Principal): string {
  if (principal.type === 'admin') return `admin/${principal.name}`;
  return principal.type === 'agent' ? `agent/${principal.cluster}` : 'anonymous';
}

/** A request before its body is read. */
export interface RequestHead {
  readonly method: Method;
  /** Path and query exactly as sent. */
  readonly url: string;
  /** Path as sent, still encoded. */
  readonly path: string;
  /** Decoded segments of the path. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly remoteAddress: string;
}

/** Undefined: these credentials are none of mine. Called before the body is read. */
export type Authenticator = (head: RequestHead) => Promise<Principal | undefined> | Principal | undefined;

export interface HttpRequest extends RequestHead {
  readonly principal: Principal;
  /** Values of `:name` segments of the route; `*` is the rest, still encoded. */
  readonly params: Readonly<Record<string, string>>;
  /** Aborts when the client is gone or the plane stops. */
  readonly signal: AbortSignal;
  /**
   * Waits for something that may take long, like news: the request is not in flight meanwhile, but counts among the long-running.
   * Errors: FL_HTTP_OVERLOADED when too many wait; `wait` is not begun then.
   */
  held<T>(wait: () => Promise<T>): Promise<T>;
  /** The whole body, at most the route's limit (413 otherwise), checked against the digest a signed request promised. */
  body(): Promise<Buffer>;
}

export interface PlainResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Uint8Array;
}

export interface StreamedResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Writes until it resolves; the response ends then. Counts as long-running, not as in flight. */
  stream(out: ResponseStream): Promise<void>;
}

export type HttpResponse = PlainResponse | StreamedResponse;

export interface ResponseStream {
  write(chunk: string | Uint8Array): void;
  /** Bytes accepted by `write` and not yet by the network. */
  readonly buffered: number;
  /** Aborts when the client is gone or the plane stops. */
  readonly closed: AbortSignal;
  /** Resolves when little is buffered, or when the stream is closed. */
  drained(): Promise<void>;
}

export type Handler = (request: HttpRequest) => Promise<HttpResponse> | HttpResponse;

/** JSON with its content type. */
export function jsonResponse(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string | readonly string[]>> = {},
): PlainResponse {
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(value) };
}
