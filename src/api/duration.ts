/** What a duration of whole seconds looks like: `90s`, `10m`, `1h30m`. */
export const DURATION_PATTERN = '^([0-9]{1,6}[smh]){1,3}$';

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** Seconds of a duration that has this form; undefined for anything else. */
export function secondsOf(text: string): number | undefined {
  if (!new RegExp(DURATION_PATTERN).test(text)) return undefined;
  return [...text.matchAll(/([0-9]+)([smh])/g)].reduce(
    (sum, [, digits, unit = '']) => sum + Number(digits) * (unitSeconds[unit] ?? 0),
    0,
  );
}

/** For sentences: `45 s`, `10 min`, `1 h 30 min`. */
export function sayDuration(seconds: number): string {
  const parts = [
    [Math.floor(seconds / 3600), 'h'],
    [Math.floor((seconds % 3600) / 60), 'min'],
    [seconds % 60, 's'],
  ] as const;
  const said = parts.filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`);
  return said.length === 0 ? '0 s' : said.join(' ');
}
