import { waitFor } from '#base';
import type { Fleet } from './fleet.ts';

/** A Deployment as YAML: one container of an image that no node pulls. */
export function deploymentYaml(
  name: string,
  options: { readonly replicas?: number; readonly image?: string; readonly env?: Readonly<Record<string, string>> } = {},
): string {
  const { replicas, image = 'registry.invalid/main:1', env } = options;
  const container = {
    name: 'main',
    image,
    ...(env === undefined ? {} : { env: Object.entries(env).map(([key, value]) => ({ name: key, value })) }),
  };
  return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
${replicas === undefined ? '' : `  replicas: ${replicas}\n`}  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {containers: [${JSON.stringify(container)}]}
`;
}

/** What is read of a core/v1 Event. */
export interface SeenEvent {
  readonly reason: string;
  readonly message: string;
  readonly count: number;
}

/** What `kubectl get events` on the plane shows of a Delivery of project default. */
export async function eventsOf(fleet: Fleet, delivery: string): Promise<readonly SeenEvent[]> {
  const selector = `involvedObject.kind=Delivery,involvedObject.name=${delivery}`;
  const result = await fleet.kubectl(['get', 'events', '-n', 'default', '--field-selector', selector, '-o', 'json']);
  if (result.exitCode !== 0) throw new Error(result.stderr);
  return (JSON.parse(result.stdout) as { items: SeenEvent[] }).items; // an EventList of the plane
}

export function untilEvent(
  fleet: Fleet,
  delivery: string,
  code: string,
  isMeant: (message: string) => boolean = () => true,
): Promise<SeenEvent> {
  return waitFor(
    `an event ${code} of ${delivery}`,
    async () => {
      const events = await eventsOf(fleet, delivery);
      const found = events.find((event) => event.reason === code && isMeant(event.message));
      if (found === undefined) throw new Error(`there is ${JSON.stringify(events.map((one) => one.message))}`);
      return found;
    },
    { timeoutMs: 30_000, intervalMs: 200 },
  );
}

/** In whole ms. */
export function percentiles(values: readonly number[]): { readonly p50: number; readonly p99: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
  return { p50: at(0.5), p99: at(0.99) };
}
