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

/** `45s`, `5m`, `1h`: the shortest way of saying it. */
export function formatDuration(ms: number): string {
  if (ms % 3_600_000 === 0 && ms > 0) return `${ms / 3_600_000}h`;
  if (ms % 60_000 === 0 && ms > 0) return `${ms / 60_000}m`;
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`;
}
