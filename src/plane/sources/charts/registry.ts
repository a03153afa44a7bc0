import { FairleadError, Sensitive, sha256 } from '#base';
import type { Fetcher, FetchResponse } from '#plane/fetch';
import { sourceError } from '../classify.ts';
import { hasControls, printable } from '../text.ts';
import type { ChartOrigin } from './chart-origin.ts';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const indexTypes = ['application/vnd.oci.image.index.v1+json', 'application/vnd.docker.distribution.manifest.list.v2+json'];
const configType = 'application/vnd.cncf.helm.config.v1+json';
const contentTypes = ['application/vnd.cncf.helm.chart.content.v1.tar+gzip', 'application/tar+gzip'];
const caps = { manifestBytes: 1 << 20, tagPageBytes: 4 << 20, tagPages: 20, tokenBytes: 1 << 16 };

export interface ChartLayer {
  /** `sha256:…` of the packed chart. */
  readonly digest: string;
  readonly bytes: number;
}

/**
 * The part of an OCI registry (distribution spec 1.1) that holds one chart, as Helm stores it. Every answer that is named by a
 * digest is checked against it. Errors: reasons (`FL_SOURCE_…`) and those of the fetcher; `FL_FETCH_DENIED` for 401 and 403.
 */
export class Registry {
  readonly #origin: ChartOrigin;
  /** `charts/web`. */
  readonly #repository: string;
  readonly #fetch: Fetcher;
  readonly #signal: AbortSignal;
  readonly #timeoutMs: number;
  #token: Sensitive<string> | undefined;

  constructor(
    origin: ChartOrigin,
    chart: string,
    fetch: Fetcher,
    run: { readonly signal: AbortSignal; readonly timeoutMs: number },
  ) {
    this.#origin = origin;
    this.#repository = `${origin.url.pathname.slice(1)}${chart}`;
    this.#fetch = fetch;
    this.#signal = run.signal;
    this.#timeoutMs = run.timeoutMs;
  }

  /** Undefined: there is no such chart. */
  async tags(): Promise<readonly string[] | undefined> {
    const found: string[] = [];
    let next: URL | undefined = this.#url(`/tags/list?n=1000`);
    for (let page = 0; next !== undefined; page += 1) {
      if (page >= caps.tagPages) {
        throw sourceError('FL_SOURCE_LIMIT', {
          url: this.#shown,
          what: 'the number of its tags',
          value: `more than ${found.length}`,
          limit: found.length,
        });
      }
      const answer = await this.#get(next, 'application/json', caps.tagPageBytes);
      if (answer.status === 404) return undefined;
      const { tags } = this.#json(answer) as { readonly tags?: unknown };
      if (Array.isArray(tags)) found.push(...tags.filter((tag): tag is string => typeof tag === 'string' && tag.length <= 128));
      next = this.#nextPage(answer);
    }
    return found;
  }

  /** The chart that a tag names. Undefined: there is no such tag. */
  async chart(tag: string): Promise<ChartLayer | undefined> {
    const answer = await this.#get(this.#url(`/manifests/${encodeURIComponent(tag)}`), manifestType, caps.manifestBytes);
    if (answer.status === 404) return undefined;
    const claimed = answer.headers['docker-content-digest'];
    if (typeof claimed === 'string' && claimed.startsWith('sha256:') && claimed !== sha256(answer.body))
      throw this.#refused(`the manifest of ${tag} is not what its digest says`);
    // Checked member by member: it is what a server sent.
    const manifest = this.#json(answer) as {
      readonly mediaType?: unknown;
      readonly manifests?: unknown;
      readonly config?: { readonly mediaType?: unknown };
      readonly layers?: unknown;
    };
    if (Array.isArray(manifest.manifests) || indexTypes.includes(String(manifest.mediaType)))
      throw this.#refused(`${tag} is an index of several images, and no chart`);
    if (manifest.config?.mediaType !== configType) throw this.#refused(`${tag} is no Helm chart`);
    const layers = (Array.isArray(manifest.layers) ? manifest.layers : []).filter(
      (layer): layer is { mediaType: string; digest: string; size: number } =>
        typeof layer === 'object' && layer !== null && contentTypes.includes((layer as { mediaType?: string }).mediaType ?? ''),
    );
    const [layer] = layers;
    if (layer === undefined || layers.length > 1) throw this.#refused(`${tag} holds ${layers.length} charts`);
    if (!/^sha256:[0-9a-f]{64}$/.test(layer.digest) || !Number.isSafeInteger(layer.size) || layer.size < 0)
      throw this.#refused(`the manifest of ${tag} names its chart in a way that cannot be checked`);
    return { digest: layer.digest, bytes: layer.size };
  }

  /** The packed chart, checked. */
  async read(layer: ChartLayer, maxBytes: number): Promise<Buffer> {
    if (layer.bytes > maxBytes) {
      throw sourceError('FL_SOURCE_LIMIT', {
        url: this.#shown,
        what: 'the packed chart, in bytes,',
        value: layer.bytes,
        limit: maxBytes,
      });
    }
    const answer = await this.#get(this.#url(`/blobs/${layer.digest}`), '*/*', maxBytes);
    if (answer.status !== 200) throw this.#refused(`its chart ${layer.digest.slice(0, 19)} cannot be read (${answer.status})`);
    if (sha256(answer.body) !== layer.digest)
      throw this.#refused(`its chart is not what its digest ${layer.digest.slice(0, 19)} says`);
    return answer.body;
  }

  /** Whether the registry answers and takes the credential. */
  async ping(): Promise<void> {
    await this.#get(new URL('/v2/', this.#origin.url), 'application/json', caps.manifestBytes);
  }

  get #shown(): string {
    return `oci://${this.#origin.url.host}/${this.#repository}`;
  }

  #url(path: string): URL {
    return new URL(`/v2/${this.#repository}${path}`, this.#origin.url);
  }

  async #get(url: URL, accept: string, maxBytes: number): Promise<FetchResponse> {
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.#fetch({
        url,
        maxBytes,
        headers: { accept },
        ca: this.#origin.ca,
        authorize: (origin) => (origin === this.#origin.url.origin ? (this.#token ?? this.#origin.authorize(origin)) : undefined),
        signal: this.#signal,
        timeoutMs: this.#timeoutMs,
      });
      const challenge = answer.headers['www-authenticate'];
      if (answer.status === 401 && attempt === 0 && challenge !== undefined && (await this.#answer(challenge))) continue;
      if (answer.status === 401 || answer.status === 403) throw denied(this.#shown);
      if (answer.status === 404 || answer.status === 200) return answer;
      throw this.#refused(`it answered ${answer.status}`);
    }
  }

  /** Gets a token for what the registry asked (distribution spec, token authentication). False: there is nothing to try. */
  async #answer(challenge: string): Promise<boolean> {
    if (!/^Bearer\s/i.test(challenge)) return false;
    const parameters = new Map(
      [...challenge.matchAll(/([a-z_]+)="([^"]{0,1024})"/gi)].map((match) => [match[1]?.toLowerCase(), match[2] ?? '']),
    );
    const realm = parameters.get('realm') ?? '';
    if (!URL.canParse(realm)) throw this.#refused('it asks for a token from what is no URL');
    const url = new URL(realm);
    const service = parameters.get('service');
    if (service !== undefined) url.searchParams.set('service', service);
    // What is needed, whatever the server would like us to ask for.
    url.searchParams.set('scope', `repository:${this.#repository}:pull`);
    const answer = await this.#fetch({
      url,
      maxBytes: caps.tokenBytes,
      ca: url.hostname === this.#origin.url.hostname ? this.#origin.ca : undefined,
      // To the registry itself, or to a host that the Credential names; to others the question goes without.
      authorize: (origin) => (this.#origin.basic === undefined ? undefined : this.#origin.authorize(origin)),
      signal: this.#signal,
      timeoutMs: this.#timeoutMs,
    });
    if (answer.status === 401 || answer.status === 403) throw denied(this.#shown);
    if (answer.status !== 200) throw this.#refused(`its token service answered ${answer.status}`);
    const { token, access_token: accessToken } = this.#json(answer) as {
      readonly token?: unknown;
      readonly access_token?: unknown;
    };
    const value = typeof token === 'string' ? token : accessToken;
    if (typeof value !== 'string' || value === '' || hasControls(value)) throw this.#refused('its token service sent no token');
    this.#token = new Sensitive(`Bearer ${value}`);
    return true;
  }

  /** The next page of a listing (RFC 8288), on the same registry only. */
  #nextPage(answer: FetchResponse): URL | undefined {
    const link = answer.headers['link'];
    const match = /<([^>]{1,2048})>\s*;\s*rel="?next"?/.exec(Array.isArray(link) ? link.join(',') : (link ?? ''));
    if (match === null || !URL.canParse(match[1] ?? '', answer.url)) return undefined;
    const next = new URL(match[1] ?? '', answer.url);
    return next.origin === this.#origin.url.origin ? next : undefined;
  }

  #json(answer: FetchResponse): object {
    try {
      const value: unknown = JSON.parse(answer.body.toString('utf8'));
      if (typeof value === 'object' && value !== null) return value;
    } catch {
      // Said below.
    }
    throw this.#refused('it sent what is no JSON');
  }

  #refused(words: string): FairleadError {
    return sourceError('FL_SOURCE_REFUSED', { url: this.#shown, words: printable(words, 300) });
  }
}

export function denied(shown: string): FairleadError {
  return new FairleadError('FL_FETCH_DENIED', `${shown} refused the credential`, { kind: 'denied' });
}

/** A tag takes no `+`; Helm writes `_` for it. */
export function tagOf(version: string): string {
  return version.replaceAll('+', '_');
}

export function versionOf(tag: string): string {
  return tag.replaceAll('_', '+');
}
