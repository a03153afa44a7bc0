import { FairleadError, randomToken, sha256, type NewId } from '#base';
import { decodeSegment, encodeSegment } from './segment.ts';
import type { Medium } from './medium.ts';

/** Values to set (undefined: to remove), by key. */
export type StateChanges = ReadonlyMap<string, Uint8Array | undefined>;

/** A small durable map. All of one commit becomes durable at once or not at all. */
export interface StateStore {
  get(key: string): Buffer | undefined;
  /** Keys with this prefix, in no particular order. */
  keys(prefix?: string): string[];
  /** Durable once resolved. Commits made meanwhile go into one write, in order. */
  commit(changes: StateChanges): Promise<void>;
  /** Pointer and segment writes since the start. */
  readonly stats: { readonly commits: number; readonly segments: number; readonly compactions: number };
  close(): Promise<void>;
}

interface SegmentRecord {
  readonly id: string;
  /** sha256 of the segment's bytes. */
  readonly digest: string;
  /** Unpacked bytes of the values it set when it was written. */
  readonly bytes: number;
}

interface Pointer {
  readonly version: 1;
  readonly segments: readonly SegmentRecord[];
  /** The newest changes, base64 of an encoded segment: a small commit costs one write. */
  readonly tail: string;
}

interface Pending {
  readonly changes: StateChanges;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

// Larger values never ride in the pointer, and a larger tail becomes a segment.
const MAX_TAIL_BYTES = 96 * 1024;
const MAX_SEGMENTS = 24;
const COMPACT_OVER_BYTES = 512 * 1024;

export interface StoreOptions {
  readonly medium: Medium;
  readonly newId?: NewId;
}

/** Reads everything there is. Errors: `FL_STATE_CORRUPT`, and those of the medium. */
export async function openStore(options: StoreOptions): Promise<StateStore> {
  const { medium } = options;
  const newId =
    options.newId ??
    ((): string =>
      randomToken(9)
        .toLowerCase()
        .replaceAll(/[^a-z0-9]/g, 'x'));
  const values = new Map<string, Buffer>();
  let pointer: Pointer = { version: 1, segments: [], tail: '' };
  const tail = new Map<string, Buffer | undefined>();
  const stats = { commits: 0, segments: 0, compactions: 0 };
  const pending: Pending[] = [];
  let running: Promise<void> | undefined;
  let isDraining = false;
  let failure: unknown;

  await load();

  async function load(): Promise<void> {
    const bytes = await medium.readPointer();
    if (bytes === undefined) return;
    pointer = parsePointer(bytes, medium.title);
    for (const segment of pointer.segments) {
      const content = await medium.readSegment(segment.id);
      if (sha256(content) !== segment.digest)
        throw corrupt(`segment ${segment.id} of ${medium.title} has another digest than recorded`);
      take(decodeSegment(content, `segment ${segment.id} of ${medium.title}`));
    }
    if (pointer.tail !== '') {
      const content = decodeSegment(Buffer.from(pointer.tail, 'base64'), `the pointer of ${medium.title}`);
      take(content);
      for (const key of content.deletes) tail.set(key, undefined);
      for (const [key, value] of content.puts) tail.set(key, Buffer.from(value));
    }
    // Left behind by a process that ended between a segment and its pointer.
    const known = new Set(pointer.segments.map((segment) => segment.id));
    for (const id of await medium.listSegments()) if (!known.has(id)) await medium.removeSegment(id);
  }

  function take(content: {
    readonly puts: readonly (readonly [string, Uint8Array])[];
    readonly deletes: readonly string[];
  }): void {
    for (const key of content.deletes) values.delete(key);
    for (const [key, value] of content.puts) values.set(key, Buffer.from(value));
  }

  async function drain(): Promise<void> {
    isDraining = true;
    while (pending.length > 0) {
      const batch = pending.splice(0);
      const changes = new Map<string, Uint8Array | undefined>();
      for (const one of batch) for (const [key, value] of one.changes) changes.set(key, value);
      try {
        if (failure !== undefined) throw failure;
        await write(changes);
        for (const one of batch) one.done();
      } catch (error) {
        // What is on the medium is now unknown or somebody else's: nothing may be written on top of it.
        failure = error;
        for (const one of batch) one.failed(error);
      }
    }
    // In the same turn as the last look: whoever commits next must not believe that somebody still looks.
    isDraining = false;
  }

  async function write(changes: StateChanges): Promise<void> {
    const next = new Map(values);
    for (const [key, value] of changes) {
      if (value === undefined) next.delete(key);
      else next.set(key, Buffer.from(value));
    }
    const nextTail = new Map(tail);
    for (const [key, value] of changes) nextTail.set(key, value === undefined ? undefined : Buffer.from(value));
    let segments = pointer.segments;
    let obsolete: readonly SegmentRecord[] = [];
    if (sizeOf(nextTail) > MAX_TAIL_BYTES) {
      const held = segments.reduce((sum, segment) => sum + segment.bytes, 0) + sizeOf(nextTail);
      const isWasteful = held > COMPACT_OVER_BYTES && held > 2 * sizeOf(next);
      if (isWasteful || segments.length >= MAX_SEGMENTS) {
        obsolete = segments;
        segments = await writeSegments(next, []);
        stats.compactions += 1;
      } else {
        const puts = new Map([...nextTail].filter((entry): entry is [string, Buffer] => entry[1] !== undefined));
        const deletes = [...nextTail].filter(([, value]) => value === undefined).map(([key]) => key);
        segments = [...segments, ...(await writeSegments(puts, deletes))];
      }
      nextTail.clear();
    }
    const nextPointer: Pointer = {
      version: 1,
      segments,
      tail: nextTail.size === 0 ? '' : encodeTail(nextTail).toString('base64'),
    };
    await medium.writePointer(Buffer.from(JSON.stringify(nextPointer)));
    stats.commits += 1;
    pointer = nextPointer;
    tail.clear();
    for (const [key, value] of nextTail) tail.set(key, value);
    values.clear();
    for (const [key, value] of next) values.set(key, value);
    for (const segment of obsolete) await medium.removeSegment(segment.id);
  }

  /** As many segments as the medium's limit asks for. */
  async function writeSegments(puts: ReadonlyMap<string, Buffer>, deletes: readonly string[]): Promise<SegmentRecord[]> {
    const records: SegmentRecord[] = [];
    let group: [string, Buffer][] = [];
    let size = 0;
    let left = deletes;
    const flush = async (): Promise<void> => {
      if (group.length === 0 && left.length === 0) return;
      const bytes = encodeSegment({ puts: group, deletes: left });
      if (bytes.length > medium.maxSegmentBytes) {
        throw new FairleadError('FL_STATE_TOO_LARGE', `${group[0]?.[0] ?? 'a value'} is too large for ${medium.title}`, {
          kind: 'too-large',
        });
      }
      const id = newId();
      await medium.writeSegment(id, bytes);
      stats.segments += 1;
      records.push({ id, digest: sha256(bytes), bytes: size });
      group = [];
      size = 0;
      left = [];
    };
    // Limits count before packing: gzip only makes it smaller, but for a few bytes.
    const limit = Math.floor(medium.maxSegmentBytes * 0.95);
    for (const [key, value] of puts) {
      if (size > 0 && size + value.length + key.length + 32 > limit) await flush();
      group.push([key, value]);
      size += value.length + key.length + 32;
    }
    await flush();
    return records;
  }

  return {
    get: (key) => values.get(key),
    keys: (prefix = '') => [...values.keys()].filter((key) => key.startsWith(prefix)),
    commit(changes) {
      if (changes.size === 0) return Promise.resolve();
      return new Promise((done, failed) => {
        pending.push({ changes, done, failed });
        if (!isDraining) running = drain();
      });
    },
    stats,
    async close() {
      await running;
      await medium.close();
    },
  };
}

function encodeTail(tail: ReadonlyMap<string, Buffer | undefined>): Buffer {
  return encodeSegment({
    puts: [...tail].filter((entry): entry is [string, Buffer] => entry[1] !== undefined),
    deletes: [...tail].filter(([, value]) => value === undefined).map(([key]) => key),
  });
}

function sizeOf(map: ReadonlyMap<string, Buffer | undefined>): number {
  let bytes = 0;
  for (const [key, value] of map) bytes += key.length + (value?.length ?? 0) + 32;
  return bytes;
}

function parsePointer(bytes: Buffer, title: string): Pointer {
  try {
    const value = JSON.parse(bytes.toString('utf8')) as Pointer;
    if (value.version !== 1 || !Array.isArray(value.segments)) throw new Error(`version ${String(value.version)} is not known`);
    return value;
  } catch (cause) {
    throw corrupt(`the pointer of ${title} cannot be read`, cause);
  }
}

function corrupt(what: string, cause?: unknown): FairleadError {
  return new FairleadError('FL_STATE_CORRUPT', `${what}; delete the state and join again`, { kind: 'internal', cause });
}
