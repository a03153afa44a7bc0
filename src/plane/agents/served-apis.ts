import { isDeepStrictEqual } from 'node:util';
import { FairleadError, rfc3339, TokenBuckets } from '#base';
import { API_VERSION, apiListKey, apisDigest, ApiList, Cluster, isBoundedList, withUnavailable, type ServedApis } from '#api';
import type { Expectation, Write } from '#plane/store';
import { clusterKey, revisionOf } from './compose-inputs.ts';
import type { AgentsContext } from './context.ts';

type HeldApis = NonNullable<NonNullable<Cluster['status']>['apis']>;

/** What a commit that takes over a report of APIs consists of; the caller puts `apis` into the status of the Cluster. */
export interface TakenApis {
  readonly apis: HeldApis;
  readonly expect: readonly Expectation[];
  readonly write: readonly Write[];
}

const MAX_TRIES = 5;
/** Lists that one cluster may change: CRDs come in bunches, and then seldom. */
const changeBudget = { burst: 20, perSecond: 1 / 60 };

/** Takes what agents report of the APIs that their clusters serve. */
export class ServedApisBook {
  readonly #context: AgentsContext;
  readonly #changes = new TokenBuckets();

  constructor(context: AgentsContext) {
    this.#context = context;
  }

  /**
   * Whether it is taken; false: the list itself is needed, or it changes too often. What is as before costs two reads.
   * Errors: FL_AGENT_REQUEST, FL_REPORT_BUSY.
   */
  async take(cluster: string, given: ServedApis): Promise<boolean> {
    checkApis(given);
    const { store, clock } = this.#context;
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const found = await store.get(Cluster, clusterKey(cluster));
      if (found?.status?.agent === undefined) return true;
      const { apis } = found.status;
      const isSame =
        apis?.reported === given.digest && isDeepStrictEqual(apis.unavailable ?? [], [...new Set(given.unavailable)].sort());
      if (isSame && (await store.get(ApiList, apiListKey(apis.digest))) !== undefined) return true;
      const taken = await takeApis(this.#context, apis, given);
      if (taken === undefined) return false;
      // An agent whose list was not taken sends it again after a while.
      if (attempt === 0 && this.#changes.take(cluster, changeBudget, clock.now()) > 0) return false;
      const object: Cluster = { ...found, status: { ...found.status, apis: taken.apis } };
      const result = await store.commit({
        expect: [{ kind: Cluster, key: clusterKey(cluster), revision: revisionOf(found) }, ...taken.expect],
        write: [{ op: 'put', kind: Cluster, object }, ...taken.write],
      });
      if (result.ok) return true;
    }
    throw new FairleadError('FL_REPORT_BUSY', `what cluster ${cluster} reports on changed again and again; send it again`, {
      kind: 'unavailable',
      retryAfterMs: 1000,
    });
  }
}

/** Refuses a list that is not what its digest says. Errors: FL_AGENT_REQUEST. */
export function checkApis({ digest, list }: ServedApis): void {
  if (list === undefined) return;
  const isOrdered = list.every((one, index) => index === 0 || (list[index - 1] ?? '') < one);
  const fault = !isBoundedList(list)
    ? 'it is longer than any that is taken'
    : !isOrdered
      ? 'it is not sorted'
      : apisDigest(list) !== digest
        ? 'it is not what its digest says'
        : undefined;
  if (fault !== undefined)
    throw new FairleadError('FL_AGENT_REQUEST', `the list of APIs is refused: ${fault}`, { kind: 'invalid' });
}

/**
 * What a report of APIs comes to, after what was held before; undefined: the list is not known here. Lists are shared by
 * digest: three thousand clusters that serve the same are three thousand references to one row.
 */
export async function takeApis(
  { store, clock, newUid }: Pick<AgentsContext, 'store' | 'clock' | 'newUid'>,
  held: HeldApis | undefined,
  given: ServedApis,
): Promise<TakenApis | undefined> {
  const listOf = async (digest: string): Promise<readonly string[] | undefined> =>
    (await store.get(ApiList, apiListKey(digest)))?.spec.versions;
  const listed = given.list ?? (await listOf(given.digest));
  if (listed === undefined) return undefined;
  const unavailable = [...new Set(given.unavailable)].sort();
  const former = unavailable.length === 0 || held === undefined ? [] : ((await listOf(held.digest)) ?? []);
  const joined = withUnavailable(listed, former, unavailable);
  // Kept without a bound, what never answers would grow with every report. What is held stays, as where an agent's own is too long.
  const versions = isBoundedList(joined) || former.length === 0 ? [...joined] : [...former];
  const digest = apisDigest(versions);
  const apis: HeldApis = {
    count: versions.length,
    digest,
    reported: given.digest,
    ...(unavailable.length === 0 ? {} : { unavailable }),
  };
  const key = apiListKey(digest);
  const row = await store.get(ApiList, key);
  if (row === undefined) {
    const metadata = { name: key.name, uid: newUid(), generation: 1, creationTimestamp: rfc3339(clock.now()) };
    const object: ApiList = { apiVersion: API_VERSION, kind: ApiList.kind, metadata, spec: { versions } };
    return { apis, expect: [{ kind: ApiList, key, revision: 'absent' }], write: [{ op: 'put', kind: ApiList, object }] };
  }
  // Whoever removes it reads it first: one of the two commits fails.
  const expect: Expectation[] = [{ kind: ApiList, key, revision: revisionOf(row) }];
  const write: Write[] =
    row.spec.unusedSince === undefined
      ? []
      : [{ op: 'put', kind: ApiList, object: { ...row, spec: { versions: row.spec.versions } } }];
  return { apis, expect, write };
}
