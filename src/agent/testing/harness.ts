import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jsonLog, newUid, systemClock } from '#base';
import { loadKubeconfig, type KubeMeta } from '#kube';
import { sharedCluster, uniqueNamespace, type ClusterHandle } from '#testbed';
import { runAgent, type AgentOptions } from '../run-agent.ts';
import { TestPlane, type Manifest } from './plane.ts';

/** One agent in this process, its own plane, and two namespaces of its own on a shared cluster. */
export interface Lab extends AsyncDisposable {
  readonly cluster: ClusterHandle;
  readonly plane: TestPlane;
  /** For objects under test. */
  readonly namespace: string;
  /** The agent's own. */
  readonly agentNamespace: string;
  readonly stateDir: string;
  readonly logs: string[];
  /** Starts an agent (again); resolves at once. */
  start(overrides?: Partial<AgentOptions>): RunningAgent;
  get(path: string): Promise<Readonly<Record<string, unknown>> | undefined>;
  configMap(name: string): Promise<LiveConfigMap | undefined>;
}

export interface LiveConfigMap {
  readonly metadata: KubeMeta;
  readonly data: Readonly<Record<string, string>>;
}

export interface RunningAgent {
  /** Rejects with what ended the agent, if it did not end by `stop`. */
  readonly done: Promise<void>;
  stop(): Promise<void>;
}

export async function openLab(name: 'a' | 'b' | 'c' = 'a'): Promise<Lab> {
  const cluster = await sharedCluster(name);
  const plane = await TestPlane.start();
  const space = await uniqueNamespace(cluster, 'agent-test');
  const own = await uniqueNamespace(cluster, 'fairlead-agent');
  const stateDir = mkdtempSync(join(tmpdir(), 'fairlead-agent-'));
  const token = plane.joinToken();
  const logs: string[] = [];
  const agents = new Set<RunningAgent>();
  const access = await loadKubeconfig(cluster.kubeconfig);

  const lab: Lab = {
    cluster,
    plane,
    namespace: space.name,
    agentNamespace: own.name,
    stateDir,
    logs,
    start(overrides = {}) {
      const controller = new AbortController();
      const options: AgentOptions = {
        access,
        state: { kind: 'directory', directory: join(stateDir, 'state') },
        namespace: own.name,
        planeUrl: plane.url,
        joinToken: token,
        version: '0.0.0-test',
        clock: systemClock,
        log: jsonLog({
          level: process.env['FAIRLEAD_TEST_VERBOSE'] === undefined ? 'info' : 'debug',
          write: (line) => void logs.push(line),
        }),
        firstWaitMs: 10_000,
        ...overrides,
      };
      const done = runAgent(options, controller.signal);
      done.catch(() => undefined);
      const agent: RunningAgent = {
        done,
        async stop() {
          controller.abort();
          agents.delete(agent);
          await done.catch(() => undefined);
        },
      };
      agents.add(agent);
      return agent;
    },
    async get(path) {
      const response = await cluster.request('GET', path);
      return response.status === 200 ? (response.json() as Record<string, unknown>) : undefined;
    },
    async configMap(mapName) {
      const response = await cluster.request('GET', `/api/v1/namespaces/${space.name}/configmaps/${mapName}`);
      return response.status === 200 ? (response.json() as LiveConfigMap) : undefined;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...agents].map((agent) => agent.stop()));
      await plane.goAway();
      await space[Symbol.asyncDispose]();
      await own[Symbol.asyncDispose]();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
  return lab;
}

export function configMap(name: string, namespace: string, data: Readonly<Record<string, string>> = { key: 'value' }): Manifest {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data };
}

export function uniqueName(prefix: string): string {
  return `${prefix}-${newUid().slice(0, 8)}`;
}
