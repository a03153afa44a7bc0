import { equal, get, isArray, isObject, withKey, type Json, type JsonObject } from './json.ts';

/** The patch itself cannot be read (400). */
export class PatchSyntaxError extends Error {}
/** The patch can be read but not carried out on this object (422). */
export class PatchFailure extends Error {}

/** RFC 7386. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  let out: JsonObject = isObject(target) ? target : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    out = withKey(out, key, value === null ? undefined : mergePatch(get(out, key), value));
  }
  return out;
}

/**
 * Strategic merge as far as a Namespace needs it: a merge patch in which `$` directives are dropped and finalizers are united.
 */
export function namespacePatch(target: JsonObject, patch: JsonObject): Json {
  const stripped = dropDirectives(patch) as JsonObject;
  const finalizers = get(get(stripped, 'metadata'), 'finalizers');
  const patched = mergePatch(target, stripped);
  const known = get(get(target, 'metadata'), 'finalizers');
  if (!isObject(patched) || !isArray(finalizers) || !isArray(known)) return patched;
  const metadata = get(patched, 'metadata');
  return isObject(metadata)
    ? { ...patched, metadata: { ...metadata, finalizers: [...new Set([...known, ...finalizers])] } }
    : patched;
}

function dropDirectives(value: Json): Json {
  if (isArray(value)) return value.map(dropDirectives);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]): [string, Json][] =>
      key.startsWith('$') || item === undefined ? [] : [[key, dropDirectives(item)]],
    ),
  );
}

const MAX_OPERATIONS = 10_000;
// A patch of copies doubles its document with each operation.
const MAX_COPIED_BYTES = 8 * 1024 * 1024;

/** RFC 6902 as Kubernetes does it: `replace` of an absent key adds it, `remove` of one fails. */
export function jsonPatch(document: Json, patch: Json): Json {
  if (!isArray(patch)) throw new PatchSyntaxError('a JSON patch is a list of operations');
  if (patch.length > MAX_OPERATIONS) {
    throw new PatchSyntaxError(`The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`);
  }
  let out = document;
  let copied = 0;
  for (const operation of patch) {
    const op = get(operation, 'op');
    const path = get(operation, 'path');
    if (typeof op !== 'string' || typeof path !== 'string') throw new PatchSyntaxError('an operation has op and path');
    const value = get(operation, 'value');
    const steps = pointer(path);
    switch (op) {
      case 'add':
        out = put(out, steps, needed(value), 'add');
        break;
      case 'replace':
        out = put(out, steps, needed(value), 'replace');
        break;
      case 'remove':
        out = remove(out, steps);
        break;
      case 'test': {
        const found = read(out, steps);
        if (!equal(found ?? null, value ?? null)) throw new PatchFailure(`testing value ${path} failed`);
        break;
      }
      case 'move':
      case 'copy': {
        const from = get(operation, 'from');
        if (typeof from !== 'string') throw new PatchSyntaxError(`${op} has from`);
        const found = read(out, pointer(from));
        if (found === undefined) throw new PatchFailure(`${op} from ${from}: there is nothing`);
        copied += JSON.stringify(found).length;
        if (copied > MAX_COPIED_BYTES) throw new PatchFailure('the patch copies too much');
        if (op === 'move') {
          if (path.startsWith(`${from}/`)) throw new PatchFailure(`cannot move ${from} into itself`);
          out = remove(out, pointer(from));
        }
        out = put(out, steps, found, 'add');
        break;
      }
      default:
        throw new PatchSyntaxError(`unknown operation ${JSON.stringify(op)}`);
    }
  }
  return out;
}

function needed(value: Json | undefined): Json {
  if (value === undefined) throw new PatchFailure('the operation has no value');
  return value;
}

function pointer(path: string): string[] {
  if (path === '') return [];
  if (!path.startsWith('/')) throw new PatchSyntaxError(`${JSON.stringify(path)} is no JSON pointer`);
  return path
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function indexOf(list: readonly Json[], step: string, max: number): number {
  if (!/^(0|[1-9]\d*)$/.test(step) || Number(step) > max) {
    throw new PatchFailure(`${JSON.stringify(step)} is no index of a list of ${list.length}`);
  }
  return Number(step);
}

function read(value: Json | undefined, steps: readonly string[]): Json | undefined {
  let at = value;
  for (const step of steps) {
    if (isArray(at)) at = at[indexOf(at, step, at.length - 1)];
    else at = get(at, step);
    if (at === undefined) return undefined;
  }
  return at;
}

function put(at: Json | undefined, steps: readonly string[], value: Json, mode: 'add' | 'replace'): Json {
  const [step, ...rest] = steps;
  if (step === undefined) return value;
  if (isArray(at)) {
    if (rest.length === 0) {
      if (mode === 'add') {
        const index = step === '-' ? at.length : indexOf(at, step, at.length);
        return [...at.slice(0, index), value, ...at.slice(index)];
      }
      const index = indexOf(at, step, at.length - 1);
      return [...at.slice(0, index), value, ...at.slice(index + 1)];
    }
    const index = indexOf(at, step, at.length - 1);
    return [...at.slice(0, index), put(at[index], rest, value, mode), ...at.slice(index + 1)];
  }
  if (!isObject(at)) throw new PatchFailure(`there is nothing to put ${JSON.stringify(step)} into`);
  if (rest.length === 0) return withKey(at, step, value);
  return withKey(at, step, put(get(at, step), rest, value, mode));
}

function remove(at: Json | undefined, steps: readonly string[]): Json {
  const [step, ...rest] = steps;
  if (step === undefined) return null;
  if (isArray(at)) {
    const index = indexOf(at, step, at.length - 1);
    return rest.length === 0
      ? [...at.slice(0, index), ...at.slice(index + 1)]
      : [...at.slice(0, index), remove(at[index], rest), ...at.slice(index + 1)];
  }
  const found = get(at, step);
  if (found === undefined || !isObject(at)) throw new PatchFailure(`unable to remove nonexistent key: ${step}`);
  return withKey(at, step, rest.length === 0 ? undefined : remove(found, rest));
}
