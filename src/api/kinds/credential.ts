import { Type } from 'typebox';
import { defineKind, type ObjectOf } from '../define-kind.ts';
import { ageColumn } from './columns.ts';

export const Credential = defineKind({
  kind: 'Credential',
  plural: 'credentials',
  shortNames: ['cred'],
  categories: ['fairlead'],
  scope: 'Namespaced',
  description:
    "Secrets of a source. What is written as stringData is encrypted before it is stored, to a key that lives outside the database and bound to this object's namespace and name; it can never be read back.",
  spec: Type.Object({
    type: Type.Enum(['basic', 'bearer', 'ssh', 'tls', 'webhook'], {
      description:
        'basic: username, password. bearer: token. ssh: identity (a private key without passphrase), knownHosts (lines of known_hosts). tls: ca alone. webhook: secret, at least 8 characters. For a ChartRepository each but ssh may hold ca: certificates (PEM) trusted beside those of the system.',
    }),
    stringData: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'Write only: secrets in clear, encrypted on the way in.' }),
    ),
    encryptedData: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'The same secrets, encrypted by the plane.' }),
    ),
    hosts: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Hosts it may be sent to. Default: the host of the repository that names it.',
        'x-kubernetes-list-type': 'atomic',
      }),
    ),
  }),
  status: Type.Object({}),
  columns: [
    {
      name: 'Type',
      type: 'string',
      description: 'What it holds.',
      priority: 0,
      jsonPath: '.spec.type',
      value: (o) => o.spec.type,
    },
    ageColumn,
  ],
  example: `apiVersion: fairlead.dev/v1alpha1
kind: Credential
metadata: {name: fleet-git, namespace: default}
spec: {type: basic, stringData: {username: fairlead, password: "a token that may read"}}
`,
});

export type Credential = ObjectOf<typeof Credential>;
