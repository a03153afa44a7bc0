import { posix } from 'node:path';
import { JSON_SCHEMA, load } from 'js-yaml';
import { sha256 } from '#base';

/**
 * Charts whose Chart.lock was not made from their Chart.yaml, as `helm dependency build` would say ("out of sync"). Directories
 * that have no lock, or descriptions that cannot be read, are not named: others explain those. Pure.
 */
export function staleLocks(files: ReadonlyMap<string, Uint8Array>, directories: Iterable<string>): readonly string[] {
  const stale: string[] = [];
  for (const directory of new Set(directories)) {
    const file = posix.join(directory, 'Chart.lock');
    const lock = described(files.get(file));
    const wanted = described(files.get(posix.join(directory, 'Chart.yaml')))?.['dependencies'];
    if (typeof lock?.['digest'] !== 'string') continue;
    const digest = lockDigest(wanted, lock['dependencies']);
    if (digest !== undefined && digest !== lock['digest']) stale.push(file);
  }
  return stale.sort();
}

/**
 * What Helm writes as `digest` of Chart.lock: sha256 over the dependencies of Chart.yaml and those of the lock, as Go prints
 * them. Undefined where one of them is nothing that Helm would read. Source: HashReq in
 * https://github.com/helm/helm/blob/main/internal/resolver/resolver.go
 */
export function lockDigest(wanted: unknown, locked: unknown): string | undefined {
  if (!Array.isArray(wanted) || !Array.isArray(locked)) return undefined;
  const lists = [wanted.map(dependency), locked.map(dependency)];
  if (lists.flat().includes(undefined)) return undefined;
  return sha256(`[${lists.map((list) => `[${list.join(',')}]`).join(',')}]`);
}

/** One dependency, with the fields and the order of Helm's type; empty ones are left out where Go does. */
function dependency(given: unknown): string | undefined {
  if (!isMapping(given)) return undefined;
  const text = (name: string): string => {
    const value = given[name];
    return typeof value === 'string' ? value : '';
  };
  const list = (name: string): readonly unknown[] => {
    const value = given[name];
    return Array.isArray(value) ? value : [];
  };
  // A number is no version: Helm refuses it.
  if (['name', 'version', 'repository'].some((name) => given[name] !== undefined && typeof given[name] !== 'string'))
    return undefined;
  const fields: (readonly [string, unknown, boolean])[] = [
    ['name', text('name'), true],
    ['version', text('version'), text('version') !== ''],
    ['repository', text('repository'), true],
    ['condition', text('condition'), text('condition') !== ''],
    ['tags', list('tags'), list('tags').length > 0],
    ['enabled', true, given['enabled'] === true],
    ['import-values', list('import-values'), list('import-values').length > 0],
    ['alias', text('alias'), text('alias') !== ''],
  ];
  return `{${fields.flatMap(([name, value, isThere]) => (isThere ? [`${JSON.stringify(name)}:${asGo(value)}`] : [])).join(',')}}`;
}

/** JSON as Go's encoder writes it: keys sorted, and escaped for use in HTML. */
function asGo(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(asGo).join(',')}]`;
  if (isMapping(value)) {
    const keys = Object.keys(value).sort();
    return `{${keys.map((key) => `${asGo(key)}:${asGo(value[key])}`).join(',')}}`;
  }
  return JSON.stringify(value ?? null).replaceAll(
    /[<>&\u2028\u2029]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function described(bytes: Uint8Array | undefined): Readonly<Record<string, unknown>> | undefined {
  if (bytes === undefined || bytes.byteLength > 256 * 1024) return undefined;
  try {
    const value: unknown = load(Buffer.from(bytes).toString('utf8'), { schema: JSON_SCHEMA });
    return isMapping(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
