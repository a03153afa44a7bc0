import { Worker } from 'node:worker_threads';
import { sourceError } from '../classify.ts';
import { printable } from '../text.ts';

export interface IndexEntry {
  readonly version: string;
  /** As it stands there: absolute, or relative to the repository. */
  readonly url: string;
  /** sha256 of the archive in hexadecimal. */
  readonly digest?: string;
}

const limits = { timeoutMs: 20_000, memoryMiB: 512, versions: 10_000 };

/**
 * The entries of some charts in the text of an `index.yaml`. Errors: `FL_SOURCE_REFUSED` with the words of the parser, or
 * that it took too long or too much memory.
 */
export function readIndex(
  text: string,
  charts: readonly string[],
  shown: string,
): Promise<ReadonlyMap<string, readonly IndexEntry[]>> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./index-worker.ts', import.meta.url), {
      workerData: { text, charts, maxVersions: limits.versions },
      resourceLimits: { maxOldGenerationSizeMb: limits.memoryMiB, maxYoungGenerationSizeMb: 32 },
      env: {},
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    const refuse = (words: string): void => {
      clearTimeout(timer);
      reject(sourceError('FL_SOURCE_REFUSED', { url: shown, words: `index.yaml: ${printable(words, 200)}` }));
      void worker.terminate();
    };
    const timer = setTimeout(() => refuse(`reading it takes more than ${limits.timeoutMs} ms`), limits.timeoutMs);
    worker.once('message', (answer: { found?: readonly (readonly [string, readonly IndexEntry[]])[]; error?: string }) => {
      if (answer.found === undefined) return refuse(answer.error ?? 'it cannot be read');
      clearTimeout(timer);
      resolve(new Map(answer.found));
      void worker.terminate();
    });
    worker.once('error', (error) =>
      refuse(error.message.includes('memory') ? `reading it takes more than ${limits.memoryMiB} MiB` : error.message),
    );
    worker.once('exit', () => refuse('reading it ended early'));
  });
}
