/**
 * Where the bytes of the agent's state lie: segments that are written once, and one pointer that names the segments that
 * count. Whatever is durable becomes so by the pointer's one atomic write.
 */
export interface Medium {
  /** For messages: `directory /var/lib/fairlead`, `Secrets fairlead-system/fairlead-state*`. */
  readonly title: string;
  /**
   * Names whoever uses this medium, where only one process at a time can: one that follows a dead one is the same to others,
   * and need not wait for its lease to run out.
   */
  readonly exclusiveUser?: string;
  /** Events that come one after another become durable together, in writes this far apart at least. */
  readonly writeGapMs: number;
  /** Largest segment, bytes. */
  readonly maxSegmentBytes: number;
  /** The pointer's bytes, or undefined when nothing was ever written. Remembers which version it read. */
  readPointer(): Promise<Buffer | undefined>;
  /** Atomic and durable once resolved. `FL_STATE_CONFLICT` when another process has written since the last read or write. */
  writePointer(bytes: Uint8Array): Promise<void>;
  /** Durable once resolved. An id is never written twice. */
  writeSegment(id: string, bytes: Uint8Array): Promise<void>;
  readSegment(id: string): Promise<Buffer>;
  /** A segment that is not there is no error. */
  removeSegment(id: string): Promise<void>;
  listSegments(): Promise<string[]>;
  close(): Promise<void>;
}
