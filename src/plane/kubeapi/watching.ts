import { FairleadError, type Clock } from '#base';
import type { HttpRequest, HttpResponse, ResponseStream } from '#plane/http';
import type { Store } from '#plane/store';
import type { JsonObject } from './json.ts';
import { negotiate, type Negotiated } from './negotiate.ts';
import { isSelected, numberParameter, selectionOf, type Selection } from './query.ts';
import { includeObject } from './reading.ts';
import { apiText, parseStored, toApi, type Resource } from './resource.ts';
import { isTrue } from './request-info.ts';
import { failure } from './status-error.ts';
import { columnDefinitions, partialMetadata, tableRow, type IncludeObject } from './table.ts';
import { SharedChange, type WatchHub } from './watch-hub.ts';

export interface WatchContext {
  readonly store: Store;
  readonly hub: WatchHub;
  readonly clock: Clock;
  /** A watcher that lets more than this pile up is cut; it connects again. */
  readonly maxBufferedBytes: number;
  readonly bookmarkMs: number;
}

const DEFAULT_TIMEOUT_S = 1800;
const MAX_TIMEOUT_S = 24 * 3600;
const PAGE = 1000;

interface Watch {
  readonly context: WatchContext;
  readonly resource: Resource;
  readonly selection: Selection;
  readonly form: Negotiated;
  readonly include: IncludeObject;
  readonly bookmarks: boolean;
  readonly out: ResponseStream;
  /** Table columns are sent once. */
  columnsSent: boolean;
  revision: number;
}

export function watchObjects(context: WatchContext, resource: Resource, namespace: string, request: HttpRequest): HttpResponse {
  const form = negotiate(request);
  const { query } = request;
  const selection = selectionOf(resource, namespace, query);
  const include = includeObject(query);
  const sendInitial = query.get('sendInitialEvents');
  checkInitialEvents(query, sendInitial);
  const asked = numberParameter(query, 'resourceVersion');
  if (asked !== undefined && asked > context.store.revision()) {
    throw failure.tooLargeResourceVersion(asked, context.store.revision());
  }
  const timeoutS = Math.min(numberParameter(query, 'timeoutSeconds') ?? 0, MAX_TIMEOUT_S) || DEFAULT_TIMEOUT_S;
  const wantsInitial = sendInitial === null ? asked === undefined || asked === 0 : isTrue(sendInitial);
  const type =
    form.form === 'object'
      ? 'application/json'
      : `application/json;as=${form.form === 'table' ? 'Table' : 'PartialObjectMetadata'};v=${form.metaVersion.split('/')[1] ?? 'v1'};g=meta.k8s.io`;
  return {
    status: 200,
    headers: { 'content-type': type, 'cache-control': 'no-cache, private' },
    async stream(out) {
      const watch: Watch = {
        context,
        resource,
        selection,
        form,
        include,
        bookmarks: isTrue(query.get('allowWatchBookmarks')),
        out,
        columnsSent: false,
        revision: asked ?? 0,
      };
      await run(watch, { wantsInitial, endsInitial: sendInitial !== null && isTrue(sendInitial), timeoutMs: timeoutS * 1000 });
    },
  };
}

function checkInitialEvents(query: URLSearchParams, sendInitial: string | null): void {
  const options = { group: 'meta.k8s.io', plural: 'listoptions', kind: 'ListOptions' };
  const match = query.get('resourceVersionMatch') ?? '';
  if (sendInitial === null) {
    if (match !== '') {
      throw failure.invalid(options, '', [
        {
          type: 'FieldValueForbidden',
          field: 'resourceVersionMatch',
          detail: 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
        },
      ]);
    }
    return;
  }
  // Ignoring any of these would leave client-go waiting for a bookmark that never comes.
  if (match !== 'NotOlderThan') {
    throw failure.invalid(options, '', [
      {
        type: 'FieldValueForbidden',
        field: 'resourceVersionMatch',
        detail: 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
      },
    ]);
  }
  if (!isTrue(query.get('allowWatchBookmarks')) && isTrue(sendInitial)) {
    throw failure.invalid(options, '', [
      {
        type: 'FieldValueForbidden',
        field: 'allowWatchBookmarks',
        detail: 'sendInitialEvents requires setting allowWatchBookmarks to true',
      },
    ]);
  }
}

interface RunOptions {
  readonly wantsInitial: boolean;
  readonly endsInitial: boolean;
  readonly timeoutMs: number;
}

/** Everything a watch does after its head was sent. Ends by itself, with the client, or when it is cut. */
async function run(watch: Watch, options: RunOptions): Promise<void> {
  const { context, out } = watch;
  const ended = new AbortController();
  const end = (): void => ended.abort();
  out.closed.addEventListener('abort', end, { once: true });
  // Changes that come while older ones are replayed wait here.
  let waiting: SharedChange[] | undefined = [];
  let waitingBytes = 0;
  const deliver = (batch: readonly SharedChange[]): void => {
    for (const change of batch) {
      if (change.change.revision > watch.revision) writeChange(watch, change);
    }
    if (out.buffered > context.maxBufferedBytes) end();
  };
  const unsubscribe = context.hub.subscribe(watch.resource.storeKind, {
    take(batch) {
      if (waiting === undefined) deliver(batch);
      else {
        waiting.push(...batch);
        for (const { change } of batch) waitingBytes += change.after.length;
        if (waitingBytes > context.maxBufferedBytes) end();
      }
    },
    lost: () => {
      writeError(watch, failure.expired('the change log was lost; list again').status);
      end();
    },
  });
  const timeout = setTimeout(() => {
    writeBookmark(watch, Math.max(watch.revision, context.hub.revision), false);
    end();
  }, options.timeoutMs);
  const bookmarks = setInterval(() => {
    if (waiting === undefined) writeBookmark(watch, Math.max(watch.revision, context.hub.revision), false);
  }, context.bookmarkMs);
  try {
    if (options.wantsInitial) await writeInitial(watch, options.endsInitial, ended.signal);
    const isComplete = !ended.signal.aborted && (await replay(watch, ended.signal));
    if (isComplete && !ended.signal.aborted) {
      const late = waiting;
      waiting = undefined;
      deliver(late);
      await new Promise<void>((resolve) => {
        if (ended.signal.aborted) resolve();
        else ended.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  } finally {
    unsubscribe();
    clearTimeout(timeout);
    clearInterval(bookmarks);
    out.closed.removeEventListener('abort', end);
  }
}

/** ADDED for everything there is. */
async function writeInitial(watch: Watch, withEnd: boolean, signal: AbortSignal): Promise<void> {
  const { context, resource, selection, out } = watch;
  let after: { namespace: string; name: string } | undefined;
  let revision: number | undefined;
  do {
    const page = await context.store.listText(resource.storeKind, {
      ...(selection.namespace === '' ? {} : { namespace: selection.namespace }),
      labels: selection.labels,
      fields: selection.stored,
      limit: PAGE,
      ...(after === undefined ? {} : { after }),
    });
    revision ??= page.revision;
    for (const text of page.items) {
      if (selection.tested.length === 0 || isSelected(resource, selection, parseStored(text))) {
        out.write(line('ADDED', renderText(watch, text)));
        watch.columnsSent = true;
      }
    }
    after = page.next;
    // A reader slower than the database must not make us hold everything.
    await out.drained();
  } while (after !== undefined && !signal.aborted);
  watch.revision = Math.max(watch.revision, revision);
  if (withEnd && !signal.aborted) writeBookmark(watch, revision, true);
}

/** What happened between the watch's revision and the hub's. False: that is no longer known, and the client was told. */
async function replay(watch: Watch, signal: AbortSignal): Promise<boolean> {
  const { context, resource, out } = watch;
  const target = context.hub.revision;
  if (watch.revision >= target) return true;
  const recent = context.hub.recent(resource.storeKind, watch.revision);
  if (recent !== undefined) {
    for (const change of recent) if (change.change.revision <= target) writeChange(watch, change);
    watch.revision = Math.max(watch.revision, target);
    return true;
  }
  const stop = new AbortController();
  const onEnd = (): void => stop.abort();
  signal.addEventListener('abort', onEnd, { once: true });
  const asked = watch.revision;
  try {
    // Every kind of the hub: its newest change ends the loop.
    for await (const batch of context.store.changes(asked, context.hub.kinds, stop.signal)) {
      for (const change of batch) {
        if (change.revision <= target && change.kind === resource.storeKind.kind) writeChange(watch, new SharedChange(change));
      }
      if ((batch.at(-1)?.revision ?? 0) >= target) break;
      await out.drained();
    }
    watch.revision = Math.max(watch.revision, target);
    return true;
  } catch (error) {
    if (!(error instanceof FairleadError) || error.code !== 'FL_STORE_COMPACTED') throw error;
    writeError(watch, failure.expired(`too old resource version: ${asked} (${context.store.oldestRevision()})`).status);
    return false;
  } finally {
    stop.abort();
    signal.removeEventListener('abort', onEnd);
  }
}

function line(type: string, object: string): string {
  return `{"type":"${type}","object":${object}}\n`;
}

function writeChange(watch: Watch, shared: SharedChange): void {
  const { change } = shared;
  watch.revision = change.revision;
  const { resource, selection } = watch;
  const isFiltered = selection.labels.length > 0 || selection.fields.length > 0 || selection.namespace !== '';
  let type: 'ADDED' | 'MODIFIED' | 'DELETED' =
    change.type === 'added' ? 'ADDED' : change.type === 'deleted' ? 'DELETED' : 'MODIFIED';
  if (isFiltered) {
    const is = change.type !== 'deleted' && isSelected(resource, selection, parseStored(change.after));
    const was = change.before !== undefined && isSelected(resource, selection, parseStored(change.before));
    if (!is && !was) return;
    type = is ? (was ? 'MODIFIED' : 'ADDED') : 'DELETED';
  }
  // An object that leaves the selection is shown as it was, at the revision of the change.
  const isLeaving = type === 'DELETED' && change.type !== 'deleted';
  const text = isLeaving ? withRevision(change.before ?? change.after, change.revision) : change.after;
  const key = `${resource.group}|${watch.form.form}|${watch.form.metaVersion}|${watch.include}|${type}|${isLeaving}`;
  // Tables carry ages and, the first time, columns: they are made for each watcher.
  if (watch.form.form === 'table') {
    watch.out.write(line(type, renderText(watch, text)));
    watch.columnsSent = true;
    return;
  }
  let rendered = shared.rendered.get(key);
  if (rendered === undefined) {
    rendered = line(type, renderText(watch, text));
    shared.rendered.set(key, rendered);
  }
  watch.out.write(rendered);
}

function withRevision(text: string, revision: number): string {
  const object = parseStored(text);
  return JSON.stringify({ ...object, metadata: { ...(object['metadata'] as JsonObject), resourceVersion: String(revision) } });
}

function renderText(watch: Watch, text: string): string {
  const { resource, form } = watch;
  if (form.form === 'object') return apiText(resource, text);
  const object = toApi(resource, parseStored(text));
  if (form.form === 'table') {
    const options = { apiVersion: form.metaVersion, includeObject: watch.include, now: watch.context.clock.now() };
    const metadata = object['metadata'] as JsonObject;
    return JSON.stringify({
      kind: 'Table',
      apiVersion: form.metaVersion,
      metadata: { resourceVersion: metadata['resourceVersion'] ?? '' },
      columnDefinitions: watch.columnsSent ? null : columnDefinitions(resource.columns),
      rows: [tableRow(resource.columns, object, options)],
    });
  }
  return JSON.stringify(partialMetadata(object, form.metaVersion));
}

function writeBookmark(watch: Watch, revision: number, isInitialEnd: boolean): void {
  if (!watch.bookmarks) return;
  const { form, resource } = watch;
  const metadata = {
    resourceVersion: String(revision),
    ...(isInitialEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
  };
  const shape =
    form.form === 'object'
      ? { kind: resource.kind, apiVersion: resource.apiVersion, metadata }
      : form.form === 'table'
        ? { kind: 'Table', apiVersion: form.metaVersion, metadata, columnDefinitions: null, rows: [] }
        : { kind: 'PartialObjectMetadata', apiVersion: form.metaVersion, metadata };
  watch.out.write(line('BOOKMARK', JSON.stringify(shape)));
}

function writeError(watch: Watch, status: unknown): void {
  watch.out.write(line('ERROR', JSON.stringify(status)));
}
