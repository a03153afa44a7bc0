import { actorOf, type HttpRequest, type Principal } from '#plane/http';
import type { FieldValidation } from './decode.ts';
import type { Issue } from './issues.ts';
import { isTrue } from './request-info.ts';
import { failure } from './status-error.ts';

export interface WriteOptions {
  readonly principal: Principal;
  /** Who, as the audit and admission name it. */
  readonly actor: string;
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
  readonly force: boolean;
  /** Filled on the way: shown to the client. */
  readonly warnings: string[];
  /** The plane's own hand: may write what controllers own. */
  readonly isInternal: boolean;
}

const MAX_MANAGER = 128;

/** The options of a write as its query says them. Throws 422. */
export function writeOptionsOf(
  request: HttpRequest,
  kind: 'CreateOptions' | 'UpdateOptions' | 'PatchOptions',
  isApply = false,
): WriteOptions {
  const { query } = request;
  const issues: Issue[] = [];
  const manager = query.get('fieldManager') ?? '';
  if (isApply && manager === '') {
    issues.push({ type: 'FieldValueRequired', field: 'fieldManager', detail: 'is required for apply patch' });
  }
  if (kind === 'PatchOptions' && !isApply && query.get('force') !== null) {
    issues.push({ type: 'FieldValueForbidden', field: 'force', detail: 'may not be specified for non-apply patch' });
  }
  issues.push(...managerIssues(manager));
  const dryRun = dryRunOf(query.getAll('dryRun'), issues);
  const validation = query.get('fieldValidation') ?? '';
  if (!['', 'Ignore', 'Warn', 'Strict'].includes(validation)) {
    issues.push({
      type: 'FieldValueNotSupported',
      field: 'fieldValidation',
      value: validation,
      detail: 'supported values: "", "Ignore", "Strict", "Warn"',
    });
  }
  if (issues.length > 0) throw failure.invalid({ group: 'meta.k8s.io', plural: kind.toLowerCase(), kind }, '', issues);
  return {
    principal: request.principal,
    actor: actorOf(request.principal),
    dryRun,
    fieldManager: manager === '' ? managerOfUserAgent(request.headers['user-agent'] ?? '') : manager,
    // Checked above; absent is Warn, as in Kubernetes.
    fieldValidation: validation === '' ? 'Warn' : (validation as FieldValidation),
    force: isTrue(query.get('force')),
    warnings: [],
    isInternal: false,
  };
}

export function managerIssues(manager: string): Issue[] {
  const issues: Issue[] = [];
  if (Buffer.byteLength(manager) > MAX_MANAGER) {
    issues.push({ type: 'FieldValueTooLong', field: 'fieldManager', detail: `may not be more than ${MAX_MANAGER} bytes` });
  }
  if (/[\p{Cc}\p{Cf}\u2028\u2029]/u.test(manager)) {
    issues.push({ type: 'FieldValueInvalid', field: 'fieldManager', value: manager, detail: 'has characters that do not print' });
  }
  return issues;
}

export function dryRunOf(values: readonly string[], issues: Issue[]): boolean {
  const given = values.filter((value) => value !== '');
  if (given.some((value) => value !== 'All')) {
    issues.push({ type: 'FieldValueNotSupported', field: 'dryRun', value: given, detail: 'supported values: "All"' });
  }
  return given.length > 0;
}

/** `kubectl-edit` of `kubectl-edit/v1.36.3 (linux/amd64)`: the manager of a write that names none. */
function managerOfUserAgent(userAgent: string): string {
  const name = userAgent.split('/')[0] ?? '';
  return Array.from(name)
    .filter((char) => !/\p{Cc}/u.test(char))
    .join('')
    .slice(0, MAX_MANAGER);
}
