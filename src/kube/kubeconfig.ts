import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { FairleadError, messageOf, Sensitive, systemClock, type Clock } from '#base';
import { isRecord, itemsOf, textOf } from './objects.ts';
import { parseYaml } from './yaml.ts';

/** How to reach one API server and as whom. Secrets are `Sensitive`: the value may be logged as it is. */
export interface ClusterAccess {
  /** `https://host:port`, perhaps with a path prefix; no trailing slash. */
  readonly server: string;
  /** PEM; undefined means the system's authorities. */
  readonly ca: string | undefined;
  /** Name to check the certificate against, where it is not the host of `server`. */
  readonly serverName?: string;
  /** The bearer token as of now, or undefined when there is none. Called for every request; reads are cached. */
  token(): Promise<Sensitive<string> | undefined>;
  /** Forget a cached token, because the API server refused it. */
  forgetToken(): void;
  readonly clientCertificate?: { readonly cert: string; readonly key: Sensitive<string> };
  /** The namespace to use when none is named. */
  readonly namespace: string;
}

export interface KubeconfigOptions {
  /** Context to use instead of `current-context`. */
  readonly context?: string;
  readonly clock?: Clock;
}

const MAX_BYTES = 1024 * 1024;
const TOKEN_RELOAD_MS = 60_000; // as client-go does: bound tokens are rotated by the kubelet at 80 % of their life

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

function refuse(code: string, message: string, cause?: unknown): FairleadError {
  return new FairleadError(code, message, { kind: 'invalid', ...(cause === undefined ? {} : { cause }) });
}

async function readBounded(path: string, what: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw refuse('FL_KUBE_CONFIG_FILE', `cannot read ${what} ${path}: ${messageOf(error)}`, error);
  }
  if (text.length > MAX_BYTES) throw refuse('FL_KUBE_CONFIG_FILE', `${what} ${path} is larger than ${MAX_BYTES} bytes`);
  return text;
}

function tokenFromFile(path: string, clock: Clock): Pick<ClusterAccess, 'token' | 'forgetToken'> {
  let cached: { readonly token: Sensitive<string>; readonly at: number } | undefined;
  return {
    async token() {
      if (cached !== undefined && clock.monotonic() - cached.at < TOKEN_RELOAD_MS) return cached.token;
      try {
        const text = (await readBounded(path, 'token file')).trim();
        if (text === '') throw refuse('FL_KUBE_CONFIG_FILE', `token file ${path} is empty`);
        cached = { token: new Sensitive(text), at: clock.monotonic() };
      } catch (error) {
        // A file that is being replaced may be missing for a moment; the old token still serves until it is refused.
        if (cached === undefined) throw error;
      }
      return cached.token;
    },
    forgetToken() {
      cached = undefined;
    },
  };
}

/** Access as a pod: the service account mounted by the kubelet, its token read again every minute. */
export async function inClusterAccess(
  options: {
    readonly env?: Readonly<Record<string, string | undefined>>;
    readonly directory?: string;
    readonly clock?: Clock;
  } = {},
): Promise<ClusterAccess> {
  const env = options.env ?? process.env;
  const directory = options.directory ?? SERVICE_ACCOUNT;
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'];
  if (!host || !port) {
    throw refuse(
      'FL_KUBE_CONFIG_IN_CLUSTER',
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this process does not run in a pod; pass a kubeconfig',
    );
  }
  const ca = await readBounded(join(directory, 'ca.crt'), 'certificate authority');
  checkPem(ca, `certificate authority ${join(directory, 'ca.crt')}`);
  const namespace = (await readBounded(join(directory, 'namespace'), 'namespace file')).trim();
  const source = tokenFromFile(join(directory, 'token'), options.clock ?? systemClock);
  await source.token();
  return { server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`, ca, namespace, ...source };
}

/** Access by a kubeconfig file. Programs a kubeconfig wants to run (exec, auth-provider) are refused. */
export async function loadKubeconfig(path: string, options: KubeconfigOptions = {}): Promise<ClusterAccess> {
  return kubeconfigAccess([{ path, text: await readBounded(path, 'kubeconfig') }], options);
}

/** As kubectl finds it: every file of `$KUBECONFIG`, else `~/.kube/config`; the first file to name something wins. */
export async function loadDefaultKubeconfig(
  options: KubeconfigOptions & { readonly env?: Readonly<Record<string, string | undefined>> } = {},
): Promise<ClusterAccess> {
  const env = options.env ?? process.env;
  const named = (env['KUBECONFIG'] ?? '').split(delimiter).filter((path) => path !== '');
  const paths = named.length > 0 ? named : [join(env['HOME'] ?? homedir(), '.kube', 'config')];
  const files: KubeconfigFile[] = [];
  for (const path of paths) {
    try {
      files.push({ path, text: await readBounded(path, 'kubeconfig') });
    } catch (error) {
      // kubectl skips missing files of a list.
      if (paths.length === 1) throw error;
    }
  }
  if (files.length === 0) throw refuse('FL_KUBE_CONFIG_FILE', `none of the kubeconfig files ${paths.join(', ')} can be read`);
  return kubeconfigAccess(files, options);
}

export interface KubeconfigFile {
  /** Relative paths inside the file count from its directory. */
  readonly path: string;
  readonly text: string;
}

/** Access by the text of kubeconfig files; the pure part apart from the files they point to. */
export async function kubeconfigAccess(
  files: readonly KubeconfigFile[],
  options: KubeconfigOptions = {},
): Promise<ClusterAccess> {
  const configs = files.map((file) => {
    const value = parseYaml(file.text, { what: `kubeconfig ${file.path}`, maxBytes: MAX_BYTES });
    if (!isRecord(value)) throw refuse('FL_KUBE_CONFIG', `kubeconfig ${file.path} holds no object`);
    return { directory: dirname(resolve(file.path)), value };
  });
  const where = files.map((file) => file.path).join(', ');
  const contextName =
    options.context ?? configs.map((c) => textOf(c.value['current-context'])).find((name) => name !== undefined && name !== '');
  if (contextName === undefined) {
    throw refuse('FL_KUBE_CONFIG', `kubeconfig ${where} has no current-context; name a context`);
  }

  const find = (list: string, field: string, name: string): { entry: Readonly<Record<string, unknown>>; directory: string } => {
    for (const config of configs) {
      for (const item of itemsOf(config.value[list])) {
        if (isRecord(item) && item['name'] === name && isRecord(item[field])) {
          return { entry: item[field], directory: config.directory };
        }
      }
    }
    throw refuse('FL_KUBE_CONFIG', `kubeconfig ${where} has no ${field} named ${JSON.stringify(name)}`);
  };

  const context = find('contexts', 'context', contextName).entry;
  const cluster = find('clusters', 'cluster', textOf(context['cluster']) ?? '');
  const user = textOf(context['user']) ? find('users', 'user', textOf(context['user']) ?? '') : undefined;
  const title = `context ${contextName} of kubeconfig ${where}`;

  const server = serverOf(cluster.entry, title);
  const ca = await pemOf(cluster, 'certificate-authority', `${title}: certificate authority`);
  const access = {
    server,
    ca,
    namespace: textOf(context['namespace']) || 'default',
    ...(textOf(cluster.entry['tls-server-name']) ? { serverName: textOf(cluster.entry['tls-server-name']) ?? '' } : {}),
  };
  if (user === undefined) return { ...access, token: () => Promise.resolve(undefined), forgetToken: () => undefined };

  refuseForeignAuth(user.entry, title);
  const cert = await pemOf(user, 'client-certificate', `${title}: client certificate`);
  const key = await pemOf(user, 'client-key', `${title}: client key`);
  if ((cert === undefined) !== (key === undefined)) {
    throw refuse('FL_KUBE_CONFIG', `${title} has a client certificate without its key, or a key without its certificate`);
  }
  const literal = textOf(user.entry['token']);
  const tokenFile = textOf(user.entry['tokenFile']);
  const held = literal ? new Sensitive(literal) : undefined;
  // kubectl prefers tokenFile over token.
  const source = tokenFile
    ? tokenFromFile(resolve(user.directory, tokenFile), options.clock ?? systemClock)
    : { token: () => Promise.resolve(held), forgetToken: () => undefined };
  return {
    ...access,
    ...source,
    ...(cert === undefined || key === undefined ? {} : { clientCertificate: { cert, key: new Sensitive(key) } }),
  };
}

function serverOf(cluster: Readonly<Record<string, unknown>>, title: string): string {
  if (cluster['insecure-skip-tls-verify'] === true) {
    throw refuse(
      'FL_KUBE_CONFIG_INSECURE',
      `${title} sets insecure-skip-tls-verify; give the certificate authority of the cluster instead`,
    );
  }
  if (textOf(cluster['proxy-url'])) {
    throw refuse(
      'FL_KUBE_CONFIG_PROXY',
      `${title} sets proxy-url, which is not supported; use an address that can be reached directly`,
    );
  }
  const text = textOf(cluster['server']) ?? '';
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw refuse('FL_KUBE_CONFIG', `${title} has no valid server URL`);
  }
  if (url.protocol !== 'https:') {
    throw refuse('FL_KUBE_CONFIG_INSECURE', `${title} names ${url.origin}; only https is used for an API server`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw refuse('FL_KUBE_CONFIG', `${title} has a server URL with credentials, query or fragment; give https://host:port`);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

function refuseForeignAuth(user: Readonly<Record<string, unknown>>, title: string): void {
  const wanted: Readonly<Record<string, string>> = {
    exec: 'runs a program to get its credentials (exec)',
    'auth-provider': 'uses an auth-provider, which Kubernetes removed',
    username: 'uses a user name and password, which Kubernetes removed',
    as: 'impersonates another user; impersonation is decided per request here',
    'as-groups': 'impersonates groups; impersonation is decided per request here',
    'as-uid': 'impersonates a uid; impersonation is decided per request here',
  };
  for (const [field, what] of Object.entries(wanted)) {
    if (user[field] !== undefined && user[field] !== null && user[field] !== '') {
      throw refuse(
        'FL_KUBE_CONFIG_AUTH',
        `${title} ${what}; use a token, a token file or a client certificate, for example from kubectl create token`,
      );
    }
  }
}

async function pemOf(
  from: { readonly entry: Readonly<Record<string, unknown>>; readonly directory: string },
  field: string,
  what: string,
): Promise<string | undefined> {
  const data = textOf(from.entry[`${field}-data`]);
  const file = textOf(from.entry[field]);
  if (!data && !file) return undefined;
  const text = data ? Buffer.from(data, 'base64').toString('utf8') : await readBounded(resolve(from.directory, file ?? ''), what);
  checkPem(text, what);
  return text;
}

function checkPem(text: string, what: string): void {
  if (!text.includes('-----BEGIN ')) throw refuse('FL_KUBE_CONFIG', `${what} holds no PEM`);
  if (!text.includes('-----BEGIN CERTIFICATE-----')) return;
  try {
    void new X509Certificate(text).validTo;
  } catch (error) {
    throw refuse('FL_KUBE_CONFIG', `${what} holds no readable certificate: ${messageOf(error)}`, error);
  }
}
