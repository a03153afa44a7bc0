import type { DatabaseSync } from 'node:sqlite';
import { systemClock } from './clock.ts';
import { FairleadError } from './errors.ts';

export interface FileLockOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Called every few seconds while another process holds the lock. */
  readonly onWait?: (waitedMs: number) => void;
}

const POLL_MS = 200;
const REPORT_MS = 5_000;

/**
 * Runs `task` while this process alone holds the lock at `path`. Node has no flock; SQLite has, and the kernel frees it
 * when the holder dies, so there is no stale lock to guess about. Errors: FL_LOCK_HELD when the deadline passes.
 */
export async function withFileLock<T>(path: string, task: () => Promise<T>, options: FileLockOptions): Promise<T> {
  // Loaded here, since most of what stands on base never locks a file.
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    const started = systemClock.monotonic();
    let reportAt = started;
    while (!tryBegin(database)) {
      const now = systemClock.monotonic();
      if (now - started > options.timeoutMs) {
        throw new FairleadError(
          'FL_LOCK_HELD',
          `the lock ${path} was held by another process for ${options.timeoutMs} ms; end that process and try again`,
          { kind: 'unavailable' },
        );
      }
      if (now >= reportAt) {
        options.onWait?.(now - started);
        reportAt = now + REPORT_MS;
      }
      await systemClock.sleep(POLL_MS, options.signal);
    }
    return await task();
  } finally {
    database.close();
  }
}

function tryBegin(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if (error instanceof Error && /database is locked/.test(error.message)) return false;
    throw error;
  }
}
