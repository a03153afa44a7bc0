import { randomBytes } from 'node:crypto';
import { rfc3339, TokenBuckets, type Clock, type Log } from '#base';
import { Credential, formatKey, GitRepository, keyOf, RECONCILE_ANNOTATION, type PlaneObject } from '#api';
import { jsonResponse, type HttpRequest, type PlainResponse, type Route } from '#plane/http';
import type { Store } from '#plane/store';
import { allOf } from '../pages.ts';
import type { Decrypt } from '../look.ts';
import { addressesIn, isAuthentic, isPush, repositoryKey } from './hook.ts';

export interface HookOptions {
  readonly store: Pick<Store, 'get' | 'list' | 'commit'>;
  readonly decrypt: Decrypt;
  readonly clock: Clock;
  readonly log: Log;
  readonly frozen: () => boolean;
  /** False when this process does not follow the repository: another replica does. */
  readonly requestLook: (key: string) => boolean;
}

/** A push of a thousand commits with their file names; what is larger is found at the next interval. */
const maxBodyBytes = 2 << 20;
/** Per remote address, of what proves nothing. */
const strangers = { burst: 30, perSecond: 0.5 };
/** Per Credential, of what does. */
const senders = { burst: 120, perSecond: 4 };

/**
 * `POST /hooks/<project>/<credential>`: a Git host says that something was pushed. It only hints: repositories of the project
 * whose address the payload names (or the one named by `?repository=`) are looked at now instead of at their interval. Who
 * does not know the Credential's secret gets one and the same answer whatever exists; who does, learns nothing either.
 */
export function hookRoutes(options: HookOptions): readonly Route[] {
  const buckets = new TokenBuckets();
  // Stands in for the secret of a Credential that does not exist, so that the same work is done.
  const nobody = randomBytes(32).toString('hex');
  return [
    {
      surface: 'hooks',
      method: 'POST',
      path: '/hooks/:project/:credential',
      permission: { allow: 'public' },
      maxBodyBytes,
      async handler(request) {
        const { project: namespace = '', credential: name = '' } = request.params;
        const now = options.clock.monotonic();
        const body = await request.body();
        const secret = await secretOf(options, { namespace, name });
        const isKnown = isAuthentic(request.headers, body, secret ?? nobody) && secret !== undefined;
        const waitMs = isKnown
          ? buckets.take(`sender ${namespace}/${name}`, senders, now)
          : buckets.take(`stranger ${request.remoteAddress}`, strangers, now);
        if (waitMs > 0) return tooMany(waitMs);
        if (!isKnown) return problem(401, 'the signature is not one of this address; check the secret of the webhook');
        const woken = isPush(request.headers) && !options.frozen() ? await wake(options, namespace, request, body) : [];
        options.log.debug({ project: namespace, credential: name, woken }, 'a webhook came');
        return jsonResponse(202, { message: 'thank you; what it concerns is looked at now' });
      },
    },
  ];
}

/** The secret of a Credential of type webhook; undefined for anything else. */
async function secretOf(options: HookOptions, key: { namespace: string; name: string }): Promise<string | undefined> {
  const credential = await options.store.get(Credential, key);
  if (credential?.spec.type !== 'webhook') return undefined;
  try {
    const secrets = (await options.decrypt(credential)).reveal();
    const secret = Object.hasOwn(secrets, 'secret') ? (secrets['secret'] ?? '') : '';
    // An empty secret would be everybody's.
    return secret.length < 8 ? undefined : secret;
  } catch (error) {
    options.log.error({ credential: formatKey(key), error }, 'the secret of a webhook could not be decrypted');
    return undefined;
  }
}

async function wake(options: HookOptions, namespace: string, request: HttpRequest, body: Buffer): Promise<readonly string[]> {
  const named = request.query.get('repository');
  const wanted = new Set(named === null ? addressesIn(body, request.headers['content-type']).map(repositoryKey) : []);
  wanted.delete(undefined);
  const concerned =
    named === null
      ? await repositoriesAt(options, namespace, wanted)
      : [await options.store.get(GitRepository, { namespace, name: named })].filter((repo) => repo !== undefined);
  for (const repository of concerned) {
    if (!options.requestLook(formatKey(keyOf(repository)))) await annotate(options, repository);
  }
  return concerned.map(({ metadata }) => metadata.name);
}

async function repositoriesAt(
  options: HookOptions,
  namespace: string,
  wanted: ReadonlySet<string | undefined>,
): Promise<readonly GitRepository[]> {
  if (wanted.size === 0) return [];
  const all = await allOf(options.store, GitRepository, { namespace });
  return all.filter(({ spec }) => wanted.has(repositoryKey(spec.url)));
}

/** The process that follows this repository is another one: it hears of it by the change log. */
async function annotate(options: HookOptions, repository: GitRepository): Promise<void> {
  const object: PlaneObject = {
    ...repository,
    metadata: {
      ...repository.metadata,
      annotations: { ...repository.metadata.annotations, [RECONCILE_ANNOTATION]: `webhook ${rfc3339(options.clock.now())}` },
    },
  };
  // On a conflict somebody has just changed it, which is looked at as well.
  await options.store.commit({
    expect: [{ kind: GitRepository, key: keyOf(repository), revision: Number(repository.metadata.resourceVersion) }],
    write: [{ op: 'put', kind: GitRepository, object }],
  });
}

function problem(status: number, detail: string): PlainResponse {
  return jsonResponse(
    status,
    { status, title: 'the webhook was not accepted', detail },
    { 'content-type': 'application/problem+json' },
  );
}

function tooMany(waitMs: number): PlainResponse {
  const answer = problem(429, 'too many requests; what was pushed is found at the next interval');
  return { ...answer, headers: { ...answer.headers, 'retry-after': String(Math.ceil(waitMs / 1000)) } };
}
