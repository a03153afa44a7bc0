import type { Sensitive } from '#base';
import type { EgressGrant } from '#plane/fetch';
import { openPrivateFile } from './private-file.ts';

/** What is sent to one server and nowhere else. */
export type GitAuth = HttpAuth | SshAuth;

interface HttpAuth {
  readonly type: 'http';
  /** The origin it is for: `https://git.example.com`. */
  readonly origin: string;
  /** A whole header, `Authorization: Basic …`. */
  readonly header: Sensitive<string>;
  /** Everything in it that must not show up in a message: password, token, encoded form. */
  readonly secrets: Sensitive<readonly string[]>;
}

interface SshAuth {
  readonly type: 'ssh';
  /** A private key without a passphrase, in the form of OpenSSH or PEM. */
  readonly identity: Sensitive<string>;
  /** Lines of known_hosts(5). A host that none of them names is not spoken to. */
  readonly knownHosts: string;
  readonly secrets: Sensitive<readonly string[]>;
}

/** What one run of git needs of it, for as long as the run lasts. */
export interface PreparedAuth extends AsyncDisposable {
  /** Configuration with secrets in it. */
  readonly config: readonly (readonly [string, string])[];
  /** Environment without any. */
  readonly env: Readonly<Record<string, string>>;
}

const nothing: PreparedAuth = { config: [], env: {}, [Symbol.asyncDispose]: () => Promise.resolve() };

/** `dir`: where files are opened that have no name. `egress`: the one way out; undefined: straight out. */
export async function prepareAuth(
  auth: GitAuth | undefined,
  egress: EgressGrant | undefined,
  dir: string,
): Promise<PreparedAuth> {
  if (auth?.type !== 'ssh') {
    return {
      ...nothing,
      config: [
        ...(auth === undefined ? [] : ([[`http.${auth.origin}/.extraHeader`, auth.header.reveal()]] as const)),
        ...(egress === undefined ? [] : ([['http.proxy', egress.url.reveal()]] as const)),
      ],
    };
  }
  const stack = new AsyncDisposableStack();
  try {
    const identity = stack.use(await openPrivateFile(dir, auth.identity.reveal()));
    const knownHosts = stack.use(await openPrivateFile(dir, auth.knownHosts));
    const config = stack.use(await openPrivateFile(dir, sshConfig(identity.path, knownHosts.path, egress?.ssh.proxyCommand)));
    return {
      config: [],
      // git hands this to a shell; nothing in it comes from outside. "ssh" is the variant that takes a port.
      // What the tunnel takes from its environment opens the way to this one host, for as long as this lasts.
      env: { GIT_SSH_COMMAND: `ssh -F ${config.path}`, GIT_SSH_VARIANT: 'ssh', ...egress?.ssh.env.reveal() },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/**
 * ssh as a pipe and nothing more: one key, the hosts that were named beforehand, no agent, no question, no forwarding, no
 * file of this machine's user. The debug lines hold the fingerprint of a host that is refused; nothing else says it.
 */
function sshConfig(identity: string, knownHosts: string, proxyCommand: string | undefined): string {
  return `Host *
  IdentityFile ${identity}
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile ${knownHosts}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  VerifyHostKeyDNS no
  CheckHostIP no
  CanonicalizeHostname no
  BatchMode yes
  PreferredAuthentications publickey
  GSSAPIAuthentication no
  HostbasedAuthentication no
  NumberOfPasswordPrompts 0
  ClearAllForwardings yes
  ForwardAgent no
  ForwardX11 no
  PermitLocalCommand no
  ControlMaster no
  ControlPath none
  RequestTTY no
  ConnectTimeout 20${proxyCommand === undefined ? '' : `\n  ProxyCommand ${proxyCommand}`}
  ServerAliveInterval 15
  ServerAliveCountMax 2
  LogLevel DEBUG1
`;
}

/** git-config(1) syntax; values are quoted whole. Who calls has made sure that no value holds a control character. */
export function gitConfigText(config: readonly (readonly [string, string])[]): string {
  return config
    .map(([name, value]) => {
      const first = name.indexOf('.');
      const last = name.lastIndexOf('.');
      const quote = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
      const section = first === last ? name.slice(0, first) : `${name.slice(0, first)} ${quote(name.slice(first + 1, last))}`;
      return `[${section}]\n\t${name.slice(last + 1)} = ${quote(value)}\n`;
    })
    .join('');
}

/** Why ssh could not use this key without asking, or undefined. Pure. */
export function identityFault(key: string): string | undefined {
  if (!/^-----BEGIN [A-Z ]*PRIVATE KEY-----$/m.test(key))
    return 'holds no private key in identity (a block that begins with "-----BEGIN …")';
  if (/ENCRYPTED/.test(key)) return 'holds a private key with a passphrase; the plane has nobody to ask, so store one without';
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]*?)-----END/.exec(key)?.[1];
  if (body === undefined) return undefined;
  // "openssh-key-v1\0", then the name of the cipher as a string with its length.
  const bytes = Buffer.from(body, 'base64');
  const cipher = bytes.toString('latin1', 19, 19 + 4);
  return cipher === 'none'
    ? undefined
    : 'holds a private key with a passphrase; the plane has nobody to ask, so store one without';
}

/** A key as ssh reads it: what was pasted often lost its last line break or came with those of another system. */
export function normalIdentity(key: string): string {
  return `${key.replaceAll('\r\n', '\n').trim()}\n`;
}
