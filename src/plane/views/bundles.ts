import type { Bundle, BundleEntry, DeliveryReport, ObjectIdentity, ObjectState } from '#api';
import type { Store } from '#plane/store';

/** The entries of bundles, each read and parsed once; a digest that is not there is left out. */
export async function readBundles(store: Store, digests: Iterable<string>): Promise<ReadonlyMap<string, readonly BundleEntry[]>> {
  const found = await store.blobs([...new Set(digests)]);
  return new Map(
    // The plane wrote these bytes itself, under their digest.
    [...found].map(([digest, bytes]) => [digest, (JSON.parse(Buffer.from(bytes).toString('utf8')) as Bundle).entries]),
  );
}

/** Group, kind, namespace and name: what makes an object the same in two versions of its API. */
export function identityOf(id: Pick<ObjectIdentity, 'group' | 'kind' | 'namespace' | 'name'>): string {
  return `${id.group}/${id.kind}/${id.namespace}/${id.name}`;
}

/** What a report says about the objects of exactly this release and bundle; of nothing else it says anything. */
export function statesOf(
  report: DeliveryReport | undefined,
  release: string,
  bundle: string,
): {
  readonly problems: ReadonlyMap<string, DeliveryReport['problems'][number]>;
  /** Of an object without a problem. */
  readonly otherwise: ObjectState;
} {
  if (report?.release !== release || report.bundle !== bundle) return { problems: new Map(), otherwise: 'unknown' };
  return {
    problems: new Map(report.problems.map((problem) => [identityOf(problem.id), problem])),
    otherwise: report.objects.applied === report.objects.total ? 'ready' : 'unknown',
  };
}
