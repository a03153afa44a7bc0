import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { FairleadError, messageOf } from '#base';

/** One option of `fairlead agent`. The table gives flags, environment variables, `--help` and docs/reference/cli.md. */
export interface AgentOption {
  readonly name: string;
  /** How its value is named in help. */
  readonly value: string;
  readonly says: string;
  readonly fallback?: string;
  /** Read where the flag is missing. */
  readonly env: string;
}

export const agentOptionTable = [
  {
    name: 'plane',
    value: 'url',
    says: 'address of the plane (https); needed to join, later it is known, and one given anew counts',
    env: 'FAIRLEAD_PLANE',
  },
  {
    name: 'proxy',
    value: 'url',
    says: "reach the plane through this HTTP proxy (http://host:port, with user:password@ if it wants them; then prefer the variable). The cluster's API server is always reached directly",
    env: 'FAIRLEAD_PROXY',
  },
  {
    name: 'join',
    value: 'token',
    says: 'join token as printed by fairlead enroll; needed once. Other users of the machine can read arguments: prefer --join-file or the variable',
    env: 'FAIRLEAD_JOIN_TOKEN',
  },
  {
    name: 'join-file',
    value: 'file',
    says: 'read the join token from this file; after joining it may be missing',
    env: 'FAIRLEAD_JOIN_FILE',
  },
  {
    name: 'kubeconfig',
    value: 'file',
    says: 'access to the cluster\'s API server; "in-cluster" for the service account of the pod. Default: in-cluster in a pod, else as kubectl finds it',
    env: 'FAIRLEAD_CLUSTER_KUBECONFIG',
  },
  { name: 'context', value: 'name', says: 'context of the kubeconfig', env: 'FAIRLEAD_CLUSTER_CONTEXT' },
  {
    name: 'state-dir',
    value: 'dir',
    says: "keep the state in this directory. Default: in Secrets of the agent's namespace",
    env: 'FAIRLEAD_STATE_DIR',
  },
  {
    name: 'state-secret',
    value: 'name',
    says: 'name of the first of those Secrets, and prefix of the others',
    fallback: 'fairlead-state',
    env: 'FAIRLEAD_STATE_SECRET',
  },
  {
    name: 'namespace',
    value: 'name',
    says: "the agent's own namespace: its Lease and its Secrets; nothing is delivered into it. Default: the pod's, else fairlead-system",
    env: 'FAIRLEAD_NAMESPACE',
  },
  {
    name: 'watch-namespaces',
    value: 'a,b',
    says: 'watch only these namespaces, where the agent may not watch the whole cluster',
    env: 'FAIRLEAD_WATCH_NAMESPACES',
  },
  {
    name: 'live-objects',
    value: 'on|off',
    says: 'whether the plane may ask to see a live object of its applications, for people who look at it there (of Secrets the keys only); off: it is answered that this is turned off',
    fallback: 'on',
    env: 'FAIRLEAD_LIVE_OBJECTS',
  },
  {
    name: 'lease-duration',
    value: 'seconds',
    says: 'how long another process waits to take over from one that died without a word (5 to 600)',
    fallback: '60',
    env: 'FAIRLEAD_LEASE_DURATION',
  },
  { name: 'log-level', value: 'level', says: 'debug, info, warn or error', fallback: 'info', env: 'FAIRLEAD_LOG_LEVEL' },
] as const satisfies readonly AgentOption[];

export type AgentOptionName = (typeof agentOptionTable)[number]['name'];
export type AgentOptionValues = Partial<Record<AgentOptionName, string>>;

/** Text of `fairlead agent --help`. */
export function agentHelp(): string {
  const width = Math.max(...agentOptionTable.map((one) => one.name.length + one.value.length)) + 7;
  const rows = agentOptionTable.flatMap((option: AgentOption) => {
    const words = `${option.says}${option.fallback === undefined ? '' : ` (default: ${option.fallback})`} [${option.env}]`;
    const [first = '', ...rest] = wrap(words, 126 - width);
    return [
      `  ${`--${option.name} <${option.value}>`.padEnd(width)}${first}`,
      ...rest.map((line) => ' '.repeat(width + 2) + line),
    ];
  });
  return [
    'Usage: fairlead agent [options]',
    '',
    'The process in a cluster: fetches what it should hold, applies it, keeps it so, and reports. It listens on nothing.',
    '',
    ...rows,
    '',
    'A variable in [] is read where the flag is missing.',
    '',
  ].join('\n');
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** Flags, then the environment, then defaults. `'help'` when it is asked for. Errors: `FL_AGENT_USAGE`. */
export function readAgentOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): AgentOptionValues | 'help' {
  const options = {
    ...Object.fromEntries(agentOptionTable.map((one) => [one.name, { type: 'string' } as const])),
    help: { type: 'boolean', short: 'h' } as const,
  };
  let given: Readonly<Record<string, unknown>>;
  try {
    given = parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw usage(messageOf(error));
  }
  if (given['help'] === true) return 'help';
  const values: AgentOptionValues = {};
  for (const option of agentOptionTable as readonly (AgentOption & { name: AgentOptionName })[]) {
    const flag = given[option.name];
    const variable = env[option.env];
    // An empty variable is how a template leaves one out.
    const value = typeof flag === 'string' ? flag : variable === '' ? undefined : variable;
    const chosen = value ?? option.fallback;
    if (chosen !== undefined) values[option.name] = chosen;
  }
  return values;
}

/** Undefined where there is none: a Secret is deleted once its token was used, and the agent goes on. */
export function joinTokenOf(values: AgentOptionValues): string | undefined {
  if (values.join !== undefined && values.join.trim() !== '') return values.join;
  const file = values['join-file'];
  if (file === undefined) return undefined;
  try {
    const text = readFileSync(file, 'utf8');
    return text.trim() === '' ? undefined : text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw usage(`--join-file ${file} cannot be read: ${messageOf(error)}`);
  }
}

export function usage(message: string): FairleadError {
  return new FairleadError('FL_AGENT_USAGE', message, { kind: 'invalid' });
}
