import { FairleadError } from '#base';
import { isRecord, own } from './objects.ts';

/** One step into a JSON value: a key or an index. */
export type PathStep = string | number;

/** RFC 6901: `/metadata/annotations/a~1b`. */
export function formatPointer(path: readonly PathStep[]): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** The keys of an RFC 6901 pointer, all as text; '' is the whole document. Refuses one that does not begin with `/`. */
export function parsePointer(pointer: string): string[] {
  if (pointer === '') return [];
  if (!pointer.startsWith('/') || /~(?![01])/.test(pointer)) {
    throw new FairleadError(
      'FL_KUBE_POINTER',
      `${JSON.stringify(pointer)} is no JSON pointer (RFC 6901), such as /spec/replicas`,
      {
        kind: 'invalid',
      },
    );
  }
  return pointer
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function indexIn(list: readonly unknown[], step: PathStep): number | undefined {
  if (typeof step === 'number') return step < list.length ? step : undefined;
  if (!/^(0|[1-9][0-9]*)$/.test(step)) return undefined;
  const index = Number(step);
  return index < list.length ? index : undefined;
}

/** The value a pointer names, or undefined. */
export function getPointer(value: unknown, pointer: string | readonly PathStep[]): unknown {
  let at: unknown = value;
  for (const step of typeof pointer === 'string' ? parsePointer(pointer) : pointer) {
    if (Array.isArray(at)) {
      const index = indexIn(at, step);
      at = index === undefined ? undefined : (at as readonly unknown[])[index];
    } else at = own(at, String(step));
    if (at === undefined) return undefined;
  }
  return at;
}

/** A copy with the value set; missing objects on the way are made, missing list items are not. */
export function setPointer(value: unknown, pointer: string | readonly PathStep[], next: unknown): unknown {
  const path = typeof pointer === 'string' ? parsePointer(pointer) : pointer;
  const [step, ...rest] = path;
  if (step === undefined) return next;
  if (Array.isArray(value)) {
    const list = value as readonly unknown[];
    const index = step === '-' || step === list.length ? list.length : indexIn(list, step);
    if (index === undefined) {
      throw new FairleadError('FL_KUBE_POINTER', `${formatPointer(path)} names no item of a list of ${list.length}`, {
        kind: 'invalid',
      });
    }
    return [...list.slice(0, index), setPointer(list[index], rest, next), ...list.slice(index + 1)];
  }
  if (value !== undefined && value !== null && !isRecord(value)) {
    throw new FairleadError('FL_KUBE_POINTER', `${formatPointer(path)} goes through a value that has no fields`, {
      kind: 'invalid',
    });
  }
  const key = String(step);
  return withOwn(value ?? {}, key, setPointer(own(value, key), rest, next));
}

/** A copy without what the pointer names; the same value when there is nothing there. */
export function removePointer(value: unknown, pointer: string | readonly PathStep[]): unknown {
  const path = typeof pointer === 'string' ? parsePointer(pointer) : pointer;
  const [step, ...rest] = path;
  if (step === undefined) return undefined;
  if (Array.isArray(value)) {
    const list = value as readonly unknown[];
    const index = indexIn(list, step);
    if (index === undefined) return value;
    if (rest.length === 0) return [...list.slice(0, index), ...list.slice(index + 1)];
    const item = removePointer(list[index], rest);
    return item === list[index] ? value : [...list.slice(0, index), item, ...list.slice(index + 1)];
  }
  const key = String(step);
  const before = own(value, key);
  if (before === undefined || !isRecord(value)) return value;
  if (rest.length === 0) {
    const { [key]: _gone, ...kept } = value;
    return kept;
  }
  const after = removePointer(before, rest);
  return after === before ? value : withOwn(value, key, after);
}

/** `{...record, [key]: value}` also for the key `__proto__`, which an assignment would misread. */
function withOwn(record: Readonly<Record<string, unknown>>, key: string, value: unknown): Record<string, unknown> {
  return Object.fromEntries([...Object.entries(record).filter(([k]) => k !== key), [key, value]]);
}

/** How a path is written for people: `.spec.template.spec.containers[0].image`, `.metadata.labels["app.kubernetes.io/name"]`. */
export function formatPath(path: readonly PathStep[]): string {
  return path
    .map((step) => {
      if (typeof step === 'number') return `[${step}]`;
      return /^[A-Za-z_][A-Za-z0-9_-]*$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
    })
    .join('');
}

/** Whether `pointer` is `ancestor` or lies below it. */
export function isWithin(pointer: string, ancestor: string): boolean {
  return pointer === ancestor || ancestor === '' || pointer.startsWith(`${ancestor}/`);
}
