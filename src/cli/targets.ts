import { Application, ChartRepository, Cluster, Delivery, GitRepository, type Key, type Kind } from '#api';
import { FairleadError } from '#base';

/** Kinds a command can name, as `kubectl` does it: `app/web`, `gitrepo/fleet`, `cluster/prod-eu`; a bare name is an application. */
const kinds: readonly Kind[] = [Application, GitRepository, ChartRepository, Cluster, Delivery];

export interface Target {
  readonly kind: Kind;
  readonly key: Key;
}

export function parseTarget(text: string, project: string): Target {
  const slash = text.indexOf('/');
  const name = text.slice(slash + 1);
  const word = slash < 0 ? 'application' : text.slice(0, slash).toLowerCase();
  const kind = kinds.find((k) => [k.kind.toLowerCase(), k.plural, ...k.shortNames].includes(word));
  if (kind === undefined || name === '') {
    throw new FairleadError(
      'FL_CLI_TARGET',
      `"${text}" names nothing; write NAME for an application, or one of ${kinds.map((k) => `${k.shortNames[0] ?? k.plural}/NAME`).join(', ')}`,
      {
        kind: 'invalid',
      },
    );
  }
  return { kind, key: { namespace: kind.scope === 'Cluster' ? '' : project, name } };
}

export function describeTarget(target: Target): string {
  return `${target.kind.kind.toLowerCase()}/${target.key.name}`;
}
