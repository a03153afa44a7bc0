import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { exec, FairleadError } from '#base';
import { parseYamlAll } from '#kube';
import { buildHelm } from '#testbed';

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

/** The same object without what tells who rendered it. */
export function withoutLabels(manifest: Manifest): Omit<Manifest, 'labels'> {
  const { labels: _, ...metadata } = manifest.metadata;
  return { ...manifest, metadata };
}
