import { FairleadError, jsonLog, messageOf, systemClock, type LogLevel } from '#base';
import { inClusterAccess, loadDefaultKubeconfig, loadKubeconfig, type ClusterAccess } from '#kube';
import { agentHelp, joinTokenOf, readAgentOptions, usage, type AgentOptionValues } from './options.ts';
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

/** `fairlead agent …`. Runs until SIGTERM or SIGINT (or `io.signal`); the exit code: 0 stopped, 1 something a person must correct, 2 usage. */
export async function runAgentCommand(args: readonly string[], io: AgentIo): Promise<number> {
  let values: AgentOptionValues;
  let level: LogLevel;
  let leaseDurationSeconds: number;
  let joinToken: string | undefined;
  let showsLiveObjects: boolean;
  try {
    const given = readAgentOptions(args, io.env);
    if (given === 'help') {
      io.out(agentHelp());
      return 0;
    }
    values = given;
    level = levelOf(values['log-level'] ?? '');
    leaseDurationSeconds = Number(values['lease-duration']);
    if (!Number.isInteger(leaseDurationSeconds) || leaseDurationSeconds < 5 || leaseDurationSeconds > 600)
      throw usage(`--lease-duration ${values['lease-duration'] ?? ''} is not a number of seconds from 5 to 600`);
    showsLiveObjects = isOn(values['live-objects'] ?? '');
    joinToken = joinTokenOf(values);
  } catch (error) {
    io.err(`fairlead agent: ${messageOf(error)}; fairlead agent --help lists the options\n`);
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
    const state: StatePlace =
      values['state-dir'] === undefined
        ? { kind: 'secrets', namespace, name: values['state-secret'] ?? '' }
        : { kind: 'directory', directory: values['state-dir'] };
    await runAgent(
      {
        access,
        state,
        namespace,
        ...(values.plane === undefined ? {} : { planeUrl: values.plane }),
        ...(values.proxy === undefined ? {} : { proxy: values.proxy }),
        ...(joinToken === undefined ? {} : { joinToken }),
        ...(values['watch-namespaces'] === undefined
          ? {}
          : { watchNamespaces: values['watch-namespaces'].split(',').filter((one) => one !== '') }),
        leaseDurationSeconds,
        showsLiveObjects,
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

function levelOf(text: string): LogLevel {
  if (text === 'debug' || text === 'info' || text === 'warn' || text === 'error') return text;
  throw usage(`--log-level ${text} is not debug, info, warn or error`);
}

function isOn(text: string): boolean {
  if (text === 'on' || text === 'off') return text === 'on';
  throw usage(`--live-objects ${text} is neither on nor off`);
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
