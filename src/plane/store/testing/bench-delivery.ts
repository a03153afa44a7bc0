import { Delivery, type PlaneObject } from '#api';

/** What benchmarks of the store write: a Delivery of about 1 KB of JSON. */
export function delivery(n: number, round: number): PlaneObject {
  const cluster = `cluster-${n % 1_000}`;
  const application = `app-${Math.floor(n / 1_000)}`;
  return {
    apiVersion: Delivery.apiVersion,
    kind: 'Delivery',
    metadata: {
      name: `${application}.${cluster}`,
      namespace: 'default',
      uid: `0b4fd34e-7a3c-4b0e-9a9c-${String(n).padStart(12, '0')}`,
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { env: n % 10 === 0 ? 'prod' : 'test', region: `r${n % 7}` },
    },
    spec: { application, cluster, wanted: { release: `${application}-${round}`, number: round, bundle: 'x'.repeat(71) } },
    status: { phase: 'Healthy', conditions: [{ type: 'Ready', status: 'True', message: 'y'.repeat(400), round }] },
  };
}
