/** `resource.Quantity`: `500m`, `0.5`, `1Gi`, `1e3`. Source: k8s.io/apimachinery/pkg/api/resource/quantity.go. */

const DECIMAL: Readonly<Record<string, number>> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const BINARY: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };

/** In billionths, rounded away from zero as Kubernetes does; undefined for what is no quantity. */
export function parseQuantity(value: unknown): bigint | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || text.length > 64) return undefined;
  const match = /^([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,2})|([KMGTPE]i|[numkMGTPE]?))$/.exec(text);
  const [, sign = '', whole = '', fraction = '', exponent, suffix = ''] = match ?? [];
  if (match === null || (whole === '' && fraction === '')) return undefined;
  const power = (exponent === undefined ? (DECIMAL[suffix] ?? 0) : Number(exponent)) - fraction.length + 9;
  const digits = BigInt(whole + fraction) << BigInt(BINARY[suffix] ?? 0);
  const divisor = 10n ** BigInt(Math.max(-power, 0));
  const magnitude = power >= 0 ? digits * 10n ** BigInt(power) : (digits + divisor - 1n) / divisor;
  return sign === '-' ? -magnitude : magnitude;
}

export function sameQuantity(a: unknown, b: unknown): boolean {
  const left = parseQuantity(a);
  return left !== undefined && left === parseQuantity(b);
}

const PARENTS = new Set([
  'limits',
  'requests',
  'capacity',
  'allocatable',
  'hard',
  'used',
  'podFixed',
  'allocatedResources',
  'default',
  'defaultRequest',
  'max',
  'min',
  'maxLimitRequestRatio',
]);

const FIELDS = new Set(['sizeLimit', 'divisor', 'averageValue', 'targetAverageValue']);

/**
 * Whether the built-in types hold a quantity at this path of field names (list steps left out), which the API server
 * rewrites to its canonical form. Elsewhere (a ConfigMap's data, an annotation) `1` and `1000m` are different text.
 */
export function isQuantityField(names: readonly string[]): boolean {
  if (names[0] !== 'spec') return false;
  const last = names.at(-1) ?? '';
  const parent = names.at(-2) ?? '';
  return PARENTS.has(parent) || FIELDS.has(last) || (last === 'value' && parent === 'target');
}
