/** Semantic versions (semver.org 2.0.0) and the ranges that npm, Cargo and Flux users write. Pure. */
export interface Version {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
  readonly pre: readonly string[];
}

interface Comparator {
  readonly operator: '<' | '<=' | '>' | '>=' | '=';
  readonly version: Version;
}

/** `1.2.3`, `v1.2.3-rc.1+build`; undefined for anything else. */
export function parseVersion(text: string): Version | undefined {
  const match =
    /^v?(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(?:-([0-9A-Za-z.-]{1,100}))?(?:\+[0-9A-Za-z.-]{1,100})?$/.exec(text);
  if (match === null) return undefined;
  const pre = match[4] === undefined ? [] : match[4].split('.');
  if (pre.some((part) => part === '' || /^0\d+$/.test(part))) return undefined;
  return { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3]), pre };
}

export function compareVersions(a: Version, b: Version): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch || comparePre(a.pre, b.pre);
}

function comparePre(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return (a.length === 0 ? 1 : 0) - (b.length === 0 ? 1 : 0);
  for (let i = 0; i < Math.max(a.length, b.length); i += 1) {
    const x = a[i];
    const y = b[i];
    if (x === undefined || y === undefined) return x === undefined ? -1 : 1;
    const xNumber = /^\d+$/.test(x);
    const yNumber = /^\d+$/.test(y);
    if (xNumber !== yNumber) return xNumber ? -1 : 1;
    const order = xNumber ? Number(x) - Number(y) : x < y ? -1 : x > y ? 1 : 0;
    if (order !== 0) return order;
  }
  return 0;
}

export type Range = readonly (readonly Comparator[])[];

/**
 * `>=1.2.0 <2.0.0`, `^1.2`, `~1.2.3`, `1.x`, `*`, alternatives with `||`, comparators separated by spaces or commas.
 * Undefined when it is none.
 */
export function parseRange(text: string): Range | undefined {
  const alternatives: Comparator[][] = [];
  for (const alternative of text.split('||')) {
    const comparators: Comparator[] = [];
    const normal = alternative.trim().replaceAll(/(<=|>=|<|>|=|\^|~)\s+/g, '$1');
    for (const word of normal.split(/[\s,]+/).filter((w) => w !== '')) {
      const parsed = parseComparator(word);
      if (parsed === undefined) return undefined;
      comparators.push(...parsed);
    }
    if (normal === '') return undefined;
    alternatives.push(comparators);
  }
  return alternatives;
}

function parseComparator(word: string): readonly Comparator[] | undefined {
  const match =
    /^(<=|>=|<|>|=|\^|~)?v?(\d{1,9}|[xX*])(?:\.(\d{1,9}|[xX*]))?(?:\.(\d{1,9}|[xX*]))?(-[0-9A-Za-z.-]{1,100})?(?:\+[0-9A-Za-z.-]{1,100})?$/.exec(
      word,
    );
  if (match === null) return undefined;
  const [, operator = '', major, minor, patch, pre] = match;
  const number = (part: string | undefined): number | undefined =>
    part === undefined || /[xX*]/.test(part) ? undefined : Number(part);
  const x = number(major);
  const y = x === undefined ? undefined : number(minor);
  const z = y === undefined ? undefined : number(patch);
  if (pre !== undefined && z === undefined) return undefined;
  const low: Version = { major: x ?? 0, minor: y ?? 0, patch: z ?? 0, pre: pre === undefined ? [] : pre.slice(1).split('.') };
  const below = (version: Version): Comparator => ({ operator: '<', version: { ...version, pre: ['0'] } });
  const from: Comparator = { operator: '>=', version: low };
  if (x === undefined) return operator === '<' || operator === '>' ? undefined : [];
  const nextMajor: Version = { major: x + 1, minor: 0, patch: 0, pre: [] };
  const nextMinor: Version = { major: x, minor: (y ?? 0) + 1, patch: 0, pre: [] };
  const end = y === undefined ? nextMajor : nextMinor;
  switch (operator) {
    case '^': {
      const nextPatch: Version = { major: 0, minor: y ?? 0, patch: (z ?? 0) + 1, pre: [] };
      if (x > 0 || y === undefined) return [from, below(nextMajor)];
      return [from, below(y > 0 || z === undefined ? nextMinor : nextPatch)];
    }
    case '~':
      return [from, below(end)];
    case '>=':
      return [from];
    case '<':
      return [{ operator: '<', version: pre === undefined ? { ...low, pre: ['0'] } : low }];
    case '>':
      return z === undefined ? [{ operator: '>=', version: end }] : [{ operator: '>', version: low }];
    case '<=':
      return z === undefined ? [below(end)] : [{ operator: '<=', version: low }];
    default:
      return z === undefined ? [from, below(end)] : [{ operator: '=', version: low }];
  }
}

/** A pre-release counts only where the range names one of the same major.minor.patch. */
export function satisfies(version: Version, range: Range): boolean {
  return range.some((comparators) => {
    const isWithin = comparators.every(({ operator, version: bound }) => {
      const order = compareVersions(version, bound);
      switch (operator) {
        case '<':
          return order < 0;
        case '<=':
          return order <= 0;
        case '>':
          return order > 0;
        case '>=':
          return order >= 0;
        case '=':
          return order === 0;
      }
    });
    if (!isWithin || version.pre.length === 0) return isWithin;
    return comparators.some(
      ({ version: bound }) =>
        bound.pre.length > 0 &&
        !(bound.pre.length === 1 && bound.pre[0] === '0') &&
        bound.major === version.major &&
        bound.minor === version.minor &&
        bound.patch === version.patch,
    );
  });
}

/** The tag with the highest version within the range. Among equal versions (`v1.0.0`, `1.0.0`) the first in order wins. */
export function highestTag(tags: readonly string[], range: Range): string | undefined {
  let best: { readonly tag: string; readonly version: Version } | undefined;
  for (const tag of tags) {
    const version = parseVersion(tag);
    if (version === undefined || !satisfies(version, range)) continue;
    if (best === undefined || compareVersions(version, best.version) > 0) best = { tag, version };
  }
  return best?.tag;
}
