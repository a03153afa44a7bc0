import { rfc3339 } from '#base';
import { ApiList, apiListKey, Cluster } from '#api';
import type { Controller, Reader, ReconcileContext, ReconcileResult } from '#plane/engine';
import type { Expectation, Write } from '#plane/store';
import { revisionOf } from './compose-inputs.ts';

const LOOK_AGAIN_MS = 600_000;
/** A list that nobody refers to is kept for this long: an agent may be about to come back to it. */
const UNUSED_MS = 1_800_000;
const CHUNK = 200;

/**
 * Removes lists of APIs that no Cluster refers to any more, in two steps: marked first, removed half an hour later. Who
 * refers to a marked list takes the mark away in the same commit, so that none goes while somebody begins to use it.
 */
export class ApiListJanitor implements Controller {
  readonly name = 'api-list-janitor';
  readonly concurrency = 1;
  readonly wakes = [];

  initial(): Promise<readonly string[]> {
    return Promise.resolve(['all']);
  }

  async reconcile(_key: string, { read, clock }: ReconcileContext): Promise<ReconcileResult> {
    // Lists first: one that comes into use after that is found in use, or was changed by whoever uses it.
    const lists = await everyList(read);
    const used = await namesInUse(read);
    const nowMs = clock.now();
    const changes: { readonly expect: Expectation; readonly write: Write }[] = [];
    for (const list of lists) {
      const key = { namespace: '', name: list.metadata.name };
      const expect: Expectation = { kind: ApiList, key, revision: revisionOf(list) };
      const { versions, unusedSince } = list.spec;
      if (used.has(key.name)) {
        if (unusedSince !== undefined)
          changes.push({ expect, write: { op: 'put', kind: ApiList, object: { ...list, spec: { versions } } } });
      } else if (unusedSince === undefined) {
        const spec = { versions, unusedSince: rfc3339(nowMs) };
        changes.push({ expect, write: { op: 'put', kind: ApiList, object: { ...list, spec } } });
      } else if (Date.parse(unusedSince) <= nowMs - UNUSED_MS) {
        changes.push({ expect, write: { op: 'delete', kind: ApiList, key } });
      }
    }
    const chunks = Array.from({ length: Math.ceil(changes.length / CHUNK) }, (_, index) => {
      const some = changes.slice(index * CHUNK, (index + 1) * CHUNK);
      return { expect: some.map(({ expect }) => expect), write: some.map(({ write }) => write) };
    });
    return { ...(chunks.length === 0 ? {} : { chunks }), againMs: LOOK_AGAIN_MS };
  }
}

async function everyList(read: Reader): Promise<readonly ApiList[]> {
  const lists: ApiList[] = [];
  let after: { namespace: string; name: string } | undefined;
  do {
    const page = await read.list(ApiList, { limit: 50, ...(after === undefined ? {} : { after }) });
    lists.push(...page.items);
    after = page.next;
  } while (after !== undefined);
  return lists;
}

async function namesInUse(read: Reader): Promise<ReadonlySet<string>> {
  const used = new Set<string>();
  let after: { namespace: string; name: string } | undefined;
  do {
    const page = await read.list(Cluster, { limit: 500, ...(after === undefined ? {} : { after }) });
    for (const { status } of page.items) if (status?.apis !== undefined) used.add(apiListKey(status.apis.digest).name);
    after = page.next;
  } while (after !== undefined);
  return used;
}
