import { parseArgs } from 'node:util';
import { FairleadError, jsonLog, messageOf, systemClock, type LogLevel } from '#base';
import { inClusterAccess, loadDefaultKubeconfig, loadKubeconfig, type ClusterAccess } from '#kube';
import { runAgent } from './run-agent.ts';
import type { StatePlace } from './state/open-state.ts';

/** What the command needs of its surroundings. */
export interface AgentIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal;
}

export const AGENT_VERSION = '0.1.0';

const options = {
  plane: { type: 'string' },
  join: { type: 'string' },
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
  'state-dir': { type: 'string' },
  'state-secret': { type: 'string', default: 'fairlead-state' },
  namespace: { type: 'string' },
  'watch-namespaces': { type: 'string' },
  'lease-duration': { type: 'string', default: '60' },
  'log-level': { type: 'string', default: 'info' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const HELP = `Usage: fairlead agent [options]

The process in a cluster: fetches what it should hold, applies it, keeps it so, and reports.

  --plane <url>               address of the plane (https); needed to join, later it is known
  --join <token>              join token as printed by fairlead enroll; needed once
                              (or FAIRLEAD_JOIN_TOKEN)
  --kubeconfig <file>         access to the cluster's API server; "in-cluster" for the pod's own
                              (default: in-cluster in a pod, else as kubectl finds it)
  --context <name>            context of the kubeconfig
  --state-dir <dir>           keep the state in this directory (default: Secrets in the agent's namespace)
  --state-secret <name>       name of those Secrets (default: fairlead-state)
  --namespace <name>          the agent's own namespace (default: the pod's, else fairlead-system)
  --watch-namespaces <a,b>    watch only these namespaces, where the agent may not watch the cluster
  --lease-duration <seconds>  how long another process waits to take over from one that died (5 to 600; default: 60)
  --log-level <level>         debug, info, warn or error (default: info)
`;

/** `fairlead agent …`. Runs until SIGTERM or SIGINT (or `io.signal`); the exit code: 0 stopped, 1 something a person must correct, 2 usage. */
export async function runAgentCommand(args: readonly string[], io: AgentIo): Promise<number> {
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];
  try {
    ({ values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false }));
  } catch (error) {
    io.err(`${messageOf(error)}\n${HELP}`);
    return 2;
  }
  if (values.help) {
    io.out(HELP);
    return 0;
  }
  const level = values['log-level'];
  if (!isLevel(level)) {
    io.err(`--log-level ${level} is not debug, info, warn or error\n`);
    return 2;
  }
  const leaseDurationSeconds = Number(values['lease-duration']);
  if (!Number.isInteger(leaseDurationSeconds) || leaseDurationSeconds < 5 || leaseDurationSeconds > 600) {
    io.err(`--lease-duration ${values['lease-duration']} is not a number of seconds from 5 to 600\n`);
    return 2;
  }
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  io.signal?.addEventListener('abort', stop, { once: true });
  const log = jsonLog({ level, write: io.err });
  try {
    const { access, isInCluster } = await accessFor(values.kubeconfig, values.context, io);
    const namespace = values.namespace ?? (isInCluster ? access.namespace : 'fairlead-system');
    const joinToken = values.join ?? io.env['FAIRLEAD_JOIN_TOKEN'];
    const state: StatePlace =
      values['state-dir'] === undefined
        ? { kind: 'secrets', namespace, name: values['state-secret'] }
        : { kind: 'directory', directory: values['state-dir'] };
    await runAgent(
      {
        access,
        state,
        namespace,
        ...(values.plane === undefined ? {} : { planeUrl: values.plane }),
        ...(joinToken === undefined || joinToken === '' ? {} : { joinToken }),
        ...(values['watch-namespaces'] === undefined
          ? {}
          : { watchNamespaces: values['watch-namespaces'].split(',').filter((one) => one !== '') }),
        leaseDurationSeconds,
        // A container that is started again in its pod follows a dead one; the pod's name is its host name.
        ...(isInCluster && io.env['HOSTNAME'] !== undefined ? { leaseIdentity: `pod-${io.env['HOSTNAME']}` } : {}),
        version: AGENT_VERSION,
        clock: systemClock,
        log,
      },
      controller.signal,
    );
    return 0;
  } catch (error) {
    log.error({ error: messageOf(error), code: error instanceof FairleadError ? error.code : undefined }, 'the agent cannot run');
    return 1;
  } finally {
    process.removeListener('SIGTERM', stop);
    process.removeListener('SIGINT', stop);
  }
}

function isLevel(text: string): text is LogLevel {
  return ['debug', 'info', 'warn', 'error'].includes(text);
}

async function accessFor(
  kubeconfig: string | undefined,
  context: string | undefined,
  io: AgentIo,
): Promise<{ readonly access: ClusterAccess; readonly isInCluster: boolean }> {
  const isPod = io.env['KUBERNETES_SERVICE_HOST'] !== undefined;
  if (kubeconfig === 'in-cluster' || (kubeconfig === undefined && isPod && io.env['KUBECONFIG'] === undefined)) {
    return { access: await inClusterAccess({ env: io.env }), isInCluster: true };
  }
  const given = context === undefined ? {} : { context };
  const access =
    kubeconfig === undefined ? await loadDefaultKubeconfig({ ...given, env: io.env }) : await loadKubeconfig(kubeconfig, given);
  return { access, isInCluster: false };
}
