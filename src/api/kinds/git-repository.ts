import { Type, type Static } from 'typebox';
import { shortHash } from '#base';
import { defineKind, LocalReference, type ObjectOf, type Violation } from '../define-kind.ts';
import { ageColumn } from './columns.ts';
import {
  found,
  lookInterval,
  lookTimeout,
  observedGeneration,
  readiness,
  repositoryColumns,
  Snapshot,
  suspendRepository,
} from './repository.ts';

/** Which commit of a repository: exactly one of these. */
export const GitReference = Type.Object(
  {
    branch: Type.Optional(Type.String({ minLength: 1, maxLength: 244, description: 'Head of a branch.' })),
    tag: Type.Optional(Type.String({ minLength: 1, maxLength: 244, description: 'A tag.' })),
    semver: Type.Optional(
      Type.String({ minLength: 1, maxLength: 100, description: 'Highest tag within a semantic version range.' }),
    ),
    commit: Type.Optional(Type.String({ pattern: '^[0-9a-f]{40}$', description: 'A full commit id.' })),
  },
  { description: 'Exactly one of branch, tag, semver, commit. Default: branch main.' },
);
export type GitReference = Static<typeof GitReference>;

/** Whose commits or tags are accepted. */
export const SignaturePolicy = Type.Object(
  {
    mode: Type.Optional(
      Type.Enum(['Commit', 'Tag'], {
        default: 'Commit',
        description:
          'Commit: the commit that is delivered must be signed. Tag: the tag that led to it, by ref.tag or ref.semver.',
      }),
    ),
    allowedSigners: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 262_144,
        description: 'Lines of an allowed signers file of ssh-keygen(1): principal, options, public key.',
      }),
    ),
    gpgKeys: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1_048_576, description: 'Armored OpenPGP public keys, one after the other.' }),
    ),
  },
  {
    description:
      'Accept only what one of these keys has signed. Anything else becomes no Snapshot and therefore no Release; what is delivered stays.',
  },
);
export type SignaturePolicy = Static<typeof SignaturePolicy>;

/** Changes when anything does that a former verdict rested on. */
export function policyId(policy: SignaturePolicy): string {
  return shortHash(JSON.stringify([policy.mode ?? 'Commit', policy.allowedSigners ?? '', policy.gpgKeys ?? '']));
}

/** Whether a Snapshot may be used under the policy that a repository has now. */
export function isAccepted(snapshot: Snapshot, policy: SignaturePolicy | undefined): boolean {
  return policy === undefined || snapshot.signature?.policy === policyId(policy);
}

/** What one reference says: `branch main`, `tag v1`, `semver ^1.2`, `commit 8a1f…`. The key of `status.refs`. */
export function formatReference(ref: GitReference | undefined): string {
  if (ref?.commit !== undefined) return `commit ${ref.commit}`;
  if (ref?.semver !== undefined) return `semver ${ref.semver}`;
  if (ref?.tag !== undefined) return `tag ${ref.tag}`;
  return `branch ${ref?.branch ?? 'main'}`;
}

export function checkReference(ref: unknown, field: string): Violation[] {
  const given = typeof ref === 'object' && ref !== null ? Object.keys(ref) : [];
  return given.length > 1
    ? [{ field, reason: 'FieldValueInvalid', message: `takes one of branch, tag, semver, commit; it has ${given.join(' and ')}` }]
    : [];
}

function checkSignaturePolicy(policy: SignaturePolicy | undefined): Violation[] {
  if (policy === undefined || policy.allowedSigners !== undefined || policy.gpgKeys !== undefined) return [];
  return [{ field: 'spec.verify', reason: 'FieldValueRequired', message: 'takes allowedSigners, gpgKeys or both' }];
}

export const GitRepository = defineKind({
  kind: 'GitRepository',
  plural: 'gitrepositories',
  shortNames: ['gitrepo'],
  categories: ['fairlead', 'all'],
  scope: 'Namespaced',
  description: 'A Git repository that the plane reads. Its current commit is a Snapshot from which Applications are rendered.',
  spec: Type.Object({
    url: Type.String({
      pattern: '^((https|http|ssh|file)://|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^/])',
      maxLength: 2048,
      description:
        'https:// or ssh:// URL, git@host:path, or (where the plane allows it) http:// or file://. Without secrets: those are in a Credential, which ssh always takes.',
    }),
    ref: Type.Optional(GitReference),
    interval: lookInterval('1m', 'How often to look for a new commit, such as 30s or 5m. At least 5s. Webhooks make it sooner.'),
    timeout: lookTimeout('Limit for one fetch.'),
    credential: Type.Optional(LocalReference),
    verify: Type.Optional(SignaturePolicy),
    suspend: suspendRepository,
  }),
  status: Type.Object({
    observedGeneration,
    snapshot: Type.Optional(Snapshot),
    refs: Type.Optional(
      Type.Array(
        Type.Object({
          ref: Type.String({ description: 'The reference, such as "tag v1".' }),
          ...found,
        }),
        {
          maxItems: 100,
          'x-kubernetes-list-type': 'atomic',
          description:
            'Further references that Applications name in spec.source.ref, each with its Snapshot or why there is none.',
        },
      ),
    ),
    ...readiness,
  }),
  columns: [
    ...repositoryColumns,
    {
      name: 'Commit',
      type: 'string',
      description: 'Current commit.',
      priority: 1,
      jsonPath: '.status.snapshot.commit',
      value: (o) => o.status?.snapshot?.commit,
    },
    ageColumn,
  ],
  rules: [(o) => checkReference(o.spec.ref, 'spec.ref'), (o) => checkSignaturePolicy(o.spec.verify)],
  example: `apiVersion: fairlead.dev/v1alpha1
kind: GitRepository
metadata: {name: fleet, namespace: default}
spec: {url: "https://git.example.com/fleet.git", ref: {branch: main}, interval: 1m, credential: {name: fleet-git}}
`,
});

export type GitRepository = ObjectOf<typeof GitRepository>;
