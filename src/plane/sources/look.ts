import type { Clock, Log } from '#base';
import { codeOf, FairleadError, messageOf, rfc3339, Sensitive } from '#base';
import {
  Credential,
  formatReference,
  isReasonCode,
  policyId,
  Project,
  reasonOf,
  type GitReference,
  type GitRepository,
  type Snapshot,
  type UntimedReason,
} from '#api';
import type { Reader } from '#plane/engine';
import type { EgressGrant, EgressProxy } from '#plane/fetch';
import { formatDuration, intervalMsOf, timeoutMsOf } from './duration.ts';
import { identityFault, normalIdentity, type GitAuth } from './git-auth.ts';
import { maxLookBytes, type FetchedCommit, type Mirror } from './mirror.ts';
import { hasControls } from './text.ts';
import type { Verifier } from './verify.ts';
import type { Found } from './source-status.ts';
import { checkUrl, matchesSource, mayCarryCredential, shownUrl, type UrlPolicy } from './source-url.ts';

/** Secrets of a Credential in clear, by name. */
export type Decrypt = (
  credential: Credential,
) => Sensitive<Readonly<Record<string, string>>> | Promise<Sensitive<Readonly<Record<string, string>>>>;

/** The guarded way out of the plane; undefined where a test needs none. */
export type Egress = Pick<EgressProxy, 'grant'>;

export interface LookContext {
  readonly read: Pick<Reader, 'get'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly policy: UrlPolicy;
  readonly decrypt: Decrypt;
  readonly verifier: Verifier;
  readonly egress: Egress | undefined;
}

/** What one reference was found at, or why not. */
export type Finding = { readonly ref: string } & Found;

export function intervalOf(repository: GitRepository): number {
  return intervalMsOf(repository.spec, 60_000);
}

/**
 * Looks at every reference of a repository, the repository's own first. Never throws for what a repository, its server or
 * its owner can cause: that is a reason.
 */
export async function look(
  repository: GitRepository,
  references: readonly (GitReference | undefined)[],
  mirror: Mirror,
  context: LookContext,
): Promise<readonly Finding[]> {
  const refs = references.map(formatReference);
  const prepared = await prepare(repository, context);
  if (prepared.refused !== undefined) return refs.map((ref) => ({ ref, reason: prepared.refused }));
  const findings: Finding[] = [];
  using egress = grantFor(prepared.url, context.egress);
  for (const reference of references) {
    const ref = formatReference(reference);
    const former = findings.at(-1);
    // What concerns the server concerns every reference.
    if (former !== undefined && 'reason' in former && /_(UNREACHABLE|DENIED|EMPTY|HOST_KEY|ADDRESS)$/.test(former.reason.code)) {
      findings.push({ ref, reason: former.reason });
      continue;
    }
    try {
      const fetched = await mirror.fetch({
        url: prepared.url,
        address: prepared.address,
        reference,
        timeoutMs: timeoutMsOf(repository.spec),
        signal: context.signal,
        ...(prepared.auth === undefined ? {} : { auth: prepared.auth }),
        ...(egress === undefined ? {} : { egress }),
      });
      const verified = await verify(repository, mirror, fetched, prepared.url, context);
      if (verified !== undefined && 'reason' in verified) {
        findings.push({ ref, reason: verified.reason });
        continue;
      }
      findings.push({
        ref,
        snapshot: {
          ...(verified === undefined ? {} : { signature: verified }),
          commit: fetched.commit,
          ref: fetched.ref,
          committedAt: rfc3339(fetched.committedAtMs),
          author: fetched.author,
          subject: fetched.subject,
          fetchedAt: rfc3339(context.clock.now()),
        },
      });
    } catch (error) {
      if (context.signal.aborted) throw error;
      findings.push({ ref, reason: reasonOfFailure(error, repository, prepared.url, context.log) });
    }
  }
  return findings;
}

const defaultPorts: Readonly<Record<string, number>> = { 'https:': 443, 'http:': 80, 'ssh:': 22 };

function grantFor(url: URL, egress: Egress | undefined): EgressGrant | undefined {
  const port = url.port === '' ? defaultPorts[url.protocol] : Number(url.port);
  return port === undefined ? undefined : egress?.grant({ host: url.hostname, port, maxBytes: maxLookBytes });
}

async function verify(
  repository: GitRepository,
  mirror: Mirror,
  fetched: FetchedCommit,
  url: URL,
  context: LookContext,
): Promise<Snapshot['signature'] | { readonly reason: UntimedReason }> {
  const policy = repository.spec.verify;
  if (policy === undefined) return undefined;
  const { commit, tag, ref } = fetched;
  const { signal } = context;
  const verdict = await context.verifier.verify(
    { gitDir: mirror.dir, commit, signal, ...(tag === undefined ? {} : { tag }) },
    policy,
  );
  if ('signer' in verdict) return { signer: verdict.signer, policy: policyId(policy) };
  const args = { commit: commit.slice(0, 12), ref, url: shownUrl(url), why: verdict.why };
  return { reason: reasonOf('FL_SOURCE_UNVERIFIED', args) };
}

function reasonOfFailure(error: unknown, repository: GitRepository, url: URL, log: Log): UntimedReason {
  const code = codeOf(error);
  const details = error instanceof FairleadError ? error.details : {};
  if (code === 'FL_SOURCE_DENIED' || code === 'FL_SOURCE_HOST_KEY') {
    return reasonOf(code, { ...details, credential: repository.spec.credential?.name ?? '(none is given)' });
  }
  const retry = `within ${formatDuration(intervalOf(repository))}`;
  if (code === 'FL_SOURCE_UNREACHABLE') return reasonOf('FL_SOURCE_UNREACHABLE', { ...details, retry });
  if (code !== undefined && isReasonCode(code)) return reasonOf(code, details);
  log.error(
    { repository: repository.metadata.name, namespace: repository.metadata.namespace, error },
    'looking at a repository failed',
  );
  return reasonOf('FL_SOURCE_UNREACHABLE', { url: shownUrl(url), words: messageOf(error), retry });
}

type Prepared =
  | { readonly refused: UntimedReason }
  | { readonly refused?: undefined; readonly url: URL; readonly address: string; readonly auth: GitAuth | undefined };

/** Everything that can be known without asking the server. */
async function prepare(repository: GitRepository, context: LookContext): Promise<Prepared> {
  const namespace = repository.metadata.namespace ?? '';
  const checked = checkUrl(repository.spec.url, context.policy);
  if (!checked.ok) return { refused: reasonOf('FL_SOURCE_URL', { url: checked.shown, why: checked.why }) };
  const { url, address } = checked;
  const project = await context.read.get(Project, { namespace: '', name: namespace });
  if (project === undefined) return { refused: reasonOf('FL_CLAIM_PROJECT', { project: namespace }) };
  if (!(project.spec.sources ?? []).some((pattern) => matchesSource(pattern, url))) {
    return { refused: reasonOf('FL_SOURCE_FORBIDDEN', { project: namespace, url: shownUrl(url) }) };
  }
  const name = repository.spec.credential?.name;
  if (name === undefined) {
    if (url.protocol !== 'ssh:') return { url, address, auth: undefined };
    return {
      refused: reasonOf('FL_SOURCE_URL', {
        url: shownUrl(url),
        why: 'ssh takes a Credential of type ssh in spec.credential, with identity and knownHosts',
      }),
    };
  }
  const credential = await context.read.get(Credential, { namespace, name });
  if (credential === undefined) return { refused: reasonOf('FL_SOURCE_NO_CREDENTIAL', { credential: name }) };
  const refuse = (why: string): Prepared => ({
    refused: reasonOf('FL_SOURCE_URL', { url: shownUrl(url), why: `the Credential ${name} ${why}` }),
  });
  if (!mayCarryCredential(url, credential.spec.hosts)) {
    return refuse(
      url.protocol === 'https:' || url.protocol === 'ssh:'
        ? `may not be sent to ${url.host} (spec.hosts)`
        : 'is sent over https:// only',
    );
  }
  let secrets: Readonly<Record<string, string>>;
  try {
    secrets = (await context.decrypt(credential)).reveal();
  } catch (error) {
    context.log.error({ credential: name, namespace, error }, 'a credential could not be decrypted');
    return refuse('cannot be decrypted by this plane; write it again');
  }
  const auth = authOf(url, credential, secrets);
  return typeof auth === 'string' ? refuse(auth) : { url, address, auth };
}

function authOf(url: URL, credential: Credential, secrets: Readonly<Record<string, string>>): GitAuth | string {
  const { type } = credential.spec;
  const value = (name: string): string => (Object.hasOwn(secrets, name) ? (secrets[name] ?? '') : '');
  if (url.protocol === 'ssh:') {
    if (type !== 'ssh') return `is of type ${type}; ssh takes one of type ssh, with identity and knownHosts`;
    const fault = identityFault(value('identity'));
    if (fault !== undefined) return fault;
    const identity = normalIdentity(value('identity'));
    // ssh names no key in its messages; a server may send back what it was sent.
    const lines = identity.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----'));
    return {
      type: 'ssh',
      identity: new Sensitive(identity),
      knownHosts: `${value('knownHosts').trim()}\n`,
      secrets: new Sensitive(lines),
    };
  }
  if (type !== 'basic' && type !== 'bearer') return `is of type ${type}; ${url.protocol}// takes basic or bearer`;
  const [words, header] =
    type === 'bearer'
      ? [[value('token')], `Authorization: Bearer ${value('token')}`]
      : [
          [value('username'), value('password')],
          `Authorization: Basic ${Buffer.from(`${value('username')}:${value('password')}`).toString('base64')}`,
        ];
  if (words.at(-1) === '') return type === 'bearer' ? 'has no token' : 'has no password';
  // A line break would be a second header.
  if (hasControls(header)) return 'holds a control character';
  const encoded = header.slice(header.lastIndexOf(' ') + 1);
  // A user name such as "git" is no secret, and as one it would blot out half of every message.
  const hidden = [...words.slice(-1), encoded];
  return { type: 'http', origin: url.origin, header: new Sensitive(header), secrets: new Sensitive(hidden) };
}
