import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Application, type Kind } from '#api';
import { exec, FairleadError, must, waitFor } from '#base';
import { parseYamlAll, type KubeClient } from '#kube';
import { buildHelm, type ClusterHandle } from '#testbed';

const root = resolve(import.meta.dirname, '..', '..', '..');

/** What tests read of a rendered object. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Readonly<Record<string, string>> };
  readonly [field: string]: unknown;
}

export interface ChartRender {
  readonly chart: 'fairlead' | 'fairlead-agent';
  readonly namespace: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** What `helm template` of the real helm prints, or its refusal as an FL_TESTBED_HELM error. */
export async function helmTemplate({ chart, namespace, values }: ChartRender): Promise<string> {
  const args = ['template', chart, join(root, 'charts', chart), '--namespace', namespace, '--values', '-'];
  const result = await exec(await buildHelm(), args, {
    env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent' },
    input: JSON.stringify(values),
    timeoutMs: 60_000,
    maxOutputBytes: 4 * 1024 * 1024,
  });
  if (result.exitCode !== 0) throw new FairleadError('FL_TESTBED_HELM', result.stderr, { kind: 'invalid' });
  return result.stdout.toString('utf8');
}

export async function renderChart(render: ChartRender): Promise<readonly Manifest[]> {
  return parseYamlAll(await helmTemplate(render)).filter((one) => one !== null) as unknown as readonly Manifest[]; // objects
}

/** The program of an image, as its Containerfile says. */
export function entrypointOf(chart: ChartRender['chart']): readonly string[] {
  const text = readFileSync(join(root, 'charts', chart, 'Containerfile'), 'utf8');
  const match = /^ENTRYPOINT (\[.*\])$/m.exec(text);
  return JSON.parse(match?.[1] ?? '[]') as string[];
}

/** The environment of an image, as its Containerfile says. */
export function environmentOfImage(chart: ChartRender['chart']): Record<string, string> {
  const text = readFileSync(join(root, 'charts', chart, 'Containerfile'), 'utf8');
  return Object.fromEntries([...text.matchAll(/^ENV (\w+)=(\S+)$/gm)].map((match) => [match[1] ?? '', match[2] ?? '']));
}

/** The same object without what tells who rendered it. */
export function withoutLabels(manifest: Manifest): Omit<Manifest, 'labels'> {
  const { labels: _, ...metadata } = manifest.metadata;
  return { ...manifest, metadata };
}

/** A namespace in which only restricted pods may be, and which says so about others. */
export async function restrictedNamespace(cluster: ClusterHandle, name: string): Promise<void> {
  const levels = ['enforce', 'warn', 'audit'].map((mode) => [`pod-security.kubernetes.io/${mode}`, 'restricted'] as const);
  await cluster.apply(
    JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: Object.fromEntries(levels) } }),
  );
}

/** Applies as a person does, and fails on any warning. */
export async function applyWithoutWarning(cluster: ClusterHandle, manifests: string): Promise<void> {
  const applied = await cluster.kubectl(['apply', '-f', '-'], { input: manifests });
  assert.equal(applied.exitCode, 0, applied.stderr);
  assert.equal(applied.stderr, '');
}

/** What tests read of a pod. */
export interface Pod extends Manifest {
  readonly spec: {
    readonly serviceAccountName: string;
    readonly volumes?: readonly {
      readonly name: string;
      readonly secret?: { readonly secretName: string; readonly defaultMode: number };
    }[];
    readonly containers: readonly {
      readonly args: readonly string[];
      readonly ports?: readonly unknown[];
      readonly securityContext: { readonly readOnlyRootFilesystem: boolean };
      readonly env: readonly {
        readonly name: string;
        readonly value?: string;
        readonly valueFrom?: {
          readonly fieldRef?: { readonly fieldPath: string };
          readonly secretKeyRef?: { readonly name: string; readonly key: string };
        };
      }[];
    }[];
  };
  readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** The pods that the controllers made in a namespace, once there are `count` and all are ready. */
export async function readyPods(cluster: ClusterHandle, namespace: string, count: number): Promise<readonly Pod[]> {
  return waitFor(
    `${count} pods in ${namespace} to be ready`,
    async () => {
      const { items } = (await cluster.request('GET', `/api/v1/namespaces/${namespace}/pods`)).json() as { items: Pod[] };
      const isReady = (pod: Pod): boolean =>
        pod.status.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') ?? false;
      if (items.length === count && items.every(isReady)) return items;
      const events = await cluster.request('GET', `/api/v1/namespaces/${namespace}/events`);
      throw new Error(`${items.length} pods; ${events.text.slice(0, 2000)}`);
    },
    { timeoutMs: 60_000, intervalMs: 100 },
  );
}

/** What the base of the plane's image brings: a C library, git, ssh and authorities. */
export const imageBase = { '/usr': '/usr', '/bin': '/bin', '/lib': '/lib', '/lib64': '/lib64', '/etc/ssl': '/etc/ssl' };
export const imageFiles = { '/etc/passwd': 'fairlead:x:65532:65532::/nonexistent:/usr/sbin/nologin\n' };

/** Arguments of the plane's container, with ports of this machine for those of the pod's own network. */
export function withPorts(
  args: readonly string[],
  ports: { readonly api: number; readonly health: number; readonly page: number },
): readonly string[] {
  return args.map((arg) =>
    arg
      .replace(/(?<=0):8443$/, `:${ports.api}`)
      .replace(':8081', `:${ports.health}`)
      .replace(':8080', `:${ports.page}`),
  );
}

/** Creates an object of a plane; those of a Project in `default`. */
export async function make(client: KubeClient, kind: Kind, name: string, spec: unknown): Promise<void> {
  const scope = kind.scope === 'Cluster' ? '' : '/namespaces/default';
  await client.request({
    method: 'POST',
    path: `/apis/${kind.apiVersion}${scope}/${kind.plural}`,
    body: JSON.stringify({ apiVersion: kind.apiVersion, kind: kind.kind, metadata: { name }, spec }),
  });
}

/** The newest Release of the Application `web`. */
export async function releaseOf(client: KubeClient): Promise<string | undefined> {
  const answer = await client.request({
    method: 'GET',
    path: `/apis/${Application.apiVersion}/namespaces/default/applications/web`,
  });
  const found = must(JSON.parse(answer.body.toString('utf8')) as Application, 'an Application');
  if (found.status?.release === undefined) throw new Error(JSON.stringify(found.status));
  return found.status.release.name;
}
