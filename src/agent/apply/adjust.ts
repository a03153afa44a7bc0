import {
  foreignFields,
  formatPointer,
  getPointer,
  isRecord,
  isWithin,
  parsePointer,
  removePointer,
  setPointer,
  type KubeObject,
  type LegacyManager,
} from '#kube';
import { FIELD_MANAGER } from './marks.ts';

/**
 * The bytes to apply, with the fields at `pointers` left as they are in the cluster: a field that somebody else holds is
 * left out; one that only we hold (or are about to claim) is applied at its live value, since leaving it out would remove
 * it. So an ignored field never resets. Numbers keep their digits.
 */
export function adjustBody(
  body: Uint8Array,
  live: KubeObject,
  pointers: readonly string[],
  claimed: readonly LegacyManager[],
): Buffer {
  let value: unknown = parseExact(body);
  const others = foreignFields(live, { ours: FIELD_MANAGER }).filter(
    (foreign) => !claimed.some((one) => one.manager === foreign.manager && one.operation === foreign.operation),
  );
  for (const pointer of pointers.flatMap((pattern) => expandPointer(live, pattern))) {
    const kept = getPointer(live, pointer);
    const isHeldByOthers = others.some((foreign) =>
      foreign.fields.some((field) => isWithin(field.pointer, pointer) || isWithin(pointer, field.pointer)),
    );
    if (kept === undefined || isHeldByOthers) value = removePointer(value, pointer);
    else {
      try {
        value = setPointer(value, pointer, kept);
      } catch {
        // Its place is not in what we apply (a list is shorter there): nothing of ours to keep.
      }
    }
  }
  return Buffer.from(JSON.stringify(value));
}

/** The concrete pointers of a rule in which `*` stands for any one step; those that name nothing stay as they are. */
export function expandPointer(live: unknown, pattern: string): string[] {
  const steps = parsePointer(pattern);
  if (!steps.includes('*')) return [pattern];
  let found: { readonly at: unknown; readonly path: readonly string[] }[] = [{ at: live, path: [] }];
  for (const step of steps) {
    found = found.flatMap(({ at, path }) => {
      if (step !== '*') return [{ at: getPointer(at, [step]), path: [...path, step] }];
      if (Array.isArray(at)) return at.map((item: unknown, index) => ({ at: item, path: [...path, String(index)] }));
      return isRecord(at) ? Object.entries(at).map(([key, item]) => ({ at: item, path: [...path, key] })) : [];
    });
  }
  return found.filter(({ at }) => at !== undefined).map(({ path }) => formatPointer(path));
}

/** JSON.parse that keeps the digits of numbers which a double cannot hold. */
export function parseExact(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes).toString('utf8'), (_key, value: unknown, context?: { readonly source?: string }) => {
    if (typeof value !== 'number' || context?.source === undefined || String(value) === context.source) return value;
    return rawJson(context.source);
  });
}

/** `JSON.rawJSON`, which TypeScript's library does not know yet. */
function rawJson(text: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);
}
