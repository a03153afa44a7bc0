/**
 * Reads the index of a chart repository in a thread of its own: an index of tens of megabytes must not hold up the plane, and
 * one that is made to be endless dies of this thread's memory and time.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { FAILSAFE_SCHEMA, load } from 'js-yaml';
import type { IndexEntry } from './chart-index.ts';

const { text, charts, maxVersions } = workerData as { text: string; charts: readonly string[]; maxVersions: number };

function parse(): unknown {
  // Helm writes YAML; some servers write JSON, which is much faster to read.
  if (/^\s*\{/.test(text)) return JSON.parse(text);
  return load(text, { schema: FAILSAFE_SCHEMA });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.length <= 2_048 ? value : undefined;
}

function entryOf(value: unknown): IndexEntry | undefined {
  if (!isRecord(value)) return undefined;
  const version = textOf(value['version']);
  const urls = value['urls'];
  const url = Array.isArray(urls) ? textOf(urls[0]) : undefined;
  if (version === undefined || url === undefined) return undefined;
  const digest = textOf(value['digest']);
  return { version, url, ...(digest === undefined ? {} : { digest }) };
}

try {
  const parsed = parse();
  const entries = isRecord(parsed) && isRecord(parsed['entries']) ? parsed['entries'] : undefined;
  if (entries === undefined) throw new Error('it is no index of charts: it has no entries');
  const found = charts.map((chart): readonly [string, readonly IndexEntry[]] => {
    const versions = Object.hasOwn(entries, chart) ? entries[chart] : undefined;
    if (!Array.isArray(versions)) return [chart, []];
    return [chart, versions.slice(0, maxVersions).flatMap((one) => entryOf(one) ?? [])];
  });
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread has no origin
  parentPort?.postMessage({ found });
} catch (error) {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread has no origin
  parentPort?.postMessage({ error: error instanceof Error ? error.message.split('\n')[0] : String(error) });
}
