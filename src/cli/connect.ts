import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { API_VERSION, formatKey, type Key, type Kind, type PlaneObject } from '#api';
import { FairleadError, silentLog } from '#base';
import { createKubeClient, loadKubeconfig, type KubeClient } from '#kube';

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** A conversation with one plane. */
export interface Plane {
  readonly server: string;
  readonly kubeconfig: string;
  view<T>(path: string, query?: Query): Promise<T>;
  get<S, T>(kind: Kind<S, T>, key: Key): Promise<PlaneObject<S, T> | undefined>;
  create(kind: Kind, object: { readonly metadata: Readonly<Record<string, unknown>>; readonly spec: unknown }): Promise<void>;
  /** JSON merge patch (RFC 7386). */
  patch(kind: Kind, key: Key, patch: unknown): Promise<void>;
  /** POST to a subresource; its JSON answer. */
  subresource<T>(kind: Kind, key: Key, name: string, body: unknown): Promise<T>;
  close(): void;
}

export interface ConnectOptions {
  readonly kubeconfig?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/** Where `fairlead` finds the plane: --kubeconfig, FAIRLEAD_KUBECONFIG, then a plane or demo started in this directory. */
export function findKubeconfig(options: ConnectOptions): string {
  const given = options.kubeconfig ?? options.env['FAIRLEAD_KUBECONFIG'];
  if (given !== undefined && given !== '') return given;
  const local = [
    join(options.cwd, '.data', 'plane', 'admin.kubeconfig'),
    join(options.cwd, '.data', 'demo', 'plane', 'admin.kubeconfig'),
  ];
  const found = local.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new FairleadError(
    'FL_CLI_NO_PLANE',
    'no plane is named; give --kubeconfig FILE or set FAIRLEAD_KUBECONFIG to the admin.kubeconfig that `fairlead plane` wrote',
    {
      kind: 'invalid',
    },
  );
}

export async function connect(options: ConnectOptions): Promise<Plane> {
  const kubeconfig = findKubeconfig(options);
  const access = await loadKubeconfig(kubeconfig);
  const client = createKubeClient({ access, userAgent: 'fairlead-cli/0.1.0', log: silentLog, maxSockets: 8 });
  return {
    server: access.server,
    kubeconfig,
    view: async <T>(path: string, query?: Query) =>
      (await json(client, { method: 'GET', path: `/views/v1/${path}`, ...(query === undefined ? {} : { query }) })) as T,
    async get<S, T>(kind: Kind<S, T>, key: Key) {
      try {
        return (await json(client, { method: 'GET', path: pathOf(kind, key) })) as PlaneObject<S, T>;
      } catch (error) {
        if (error instanceof FairleadError && error.kind === 'not-found') return undefined;
        throw error;
      }
    },
    async create(kind, object) {
      const namespace = kind.scope === 'Namespaced' ? String(object.metadata['namespace']) : '';
      await json(client, {
        method: 'POST',
        path: collectionPath(kind, namespace),
        body: JSON.stringify({ apiVersion: API_VERSION, kind: kind.kind, ...object }),
      });
    },
    async patch(kind, key, patch) {
      await json(client, {
        method: 'PATCH',
        path: pathOf(kind, key),
        body: JSON.stringify(patch),
        contentType: 'application/merge-patch+json',
      });
    },
    subresource: async <T>(kind: Kind, key: Key, name: string, body: unknown) =>
      (await json(client, { method: 'POST', path: `${pathOf(kind, key)}/${name}`, body: JSON.stringify(body) })) as T,
    close: () => client.close(),
  };
}

function collectionPath(kind: Kind, namespace: string): string {
  const scope = kind.scope === 'Cluster' ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `/apis/${API_VERSION}${scope}/${kind.plural}`;
}

function pathOf(kind: Kind, key: Key): string {
  if (key.name === '')
    throw new FairleadError('FL_CLI_NAME', `a ${kind.kind} needs a name, got "${formatKey(key)}"`, { kind: 'invalid' });
  return `${collectionPath(kind, key.namespace)}/${encodeURIComponent(key.name)}`;
}

async function json(client: KubeClient, request: Parameters<KubeClient['request']>[0]): Promise<unknown> {
  const response = await client.request(request);
  return JSON.parse(response.body.toString('utf8')) as unknown;
}
