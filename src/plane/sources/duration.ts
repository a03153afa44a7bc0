import { FairleadError } from '#base';

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** Milliseconds of a Go duration such as `90s` or `1m30s`. Errors: FL_SOURCE_DURATION. */
export function parseDuration(text: string): number {
  let ms = 0;
  let rest = text;
  while (rest !== '') {
    const match = /^(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)/.exec(rest);
    if (match === null) {
      throw new FairleadError('FL_SOURCE_DURATION', `"${text}" is no duration; write 30s, 5m or 1h30m`, { kind: 'invalid' });
    }
    // The pattern admits no other unit.
    ms += Number(match[1]) * unitMs[match[2] as keyof typeof unitMs];
    rest = rest.slice(match[0].length);
  }
  return ms;
}

/** ms between looks at a source: as its spec says, within bounds. */
export function intervalMsOf(spec: { readonly interval?: string }, otherwiseMs: number): number {
  return within(spec.interval, 5_000, 24 * 3_600_000, otherwiseMs);
}

/** ms that a server may take for one answer. */
export function timeoutMsOf(spec: { readonly timeout?: string }): number {
  return within(spec.timeout, 1_000, 100_000, 60_000);
}

function within(text: string | undefined, min: number, max: number, otherwise: number): number {
  if (text === undefined) return otherwise;
  try {
    return Math.min(max, Math.max(min, parseDuration(text)));
  } catch {
    return otherwise;
  }
}

/** `45s`, `5m`, `1h`: the shortest way of saying it. */
export function formatDuration(ms: number): string {
  if (ms % 3_600_000 === 0 && ms > 0) return `${ms / 3_600_000}h`;
  if (ms % 60_000 === 0 && ms > 0) return `${ms / 60_000}m`;
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`;
}
