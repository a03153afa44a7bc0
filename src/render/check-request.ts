import type { RenderLimits } from './limits.ts';
import type { RenderError, RenderRequest } from './types.ts';

/**
 * What is wrong with a request before anything of it is parsed: sizes, names of files, forms of keys. A caller that reads
 * Git or lets people name things may pass on what it found; this is the one place that says no.
 */
export function checkRequest(request: RenderRequest, limits: RenderLimits): RenderError[] {
  const errors: RenderError[] = [];
  const refuse = (rule: string, message: string): void => {
    errors.push({ code: 'FL_RENDER_REQUEST', rule, message });
  };
  if (request.project === '' || request.application === '') refuse('request-form', 'project and application must be named');
  if (request.cluster.name === '') refuse('request-form', 'the cluster must be named');
  if (!/^[0-9a-f]{32,128}$/.test(request.seed)) refuse('request-form', 'the seed must be 16 to 64 bytes in hex');
  if (!Number.isSafeInteger(request.commitTimeMs) || request.commitTimeMs < 0 || request.commitTimeMs > 8.64e15) {
    refuse('request-form', 'the commit time must be whole milliseconds since 1970');
  }
  if (request.defaultNamespace !== undefined && !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(request.defaultNamespace)) {
    refuse(
      'request-form',
      `the default namespace ${JSON.stringify(request.defaultNamespace.slice(0, 80))} is not a namespace name`,
    );
  }
  const values = JSON.stringify([request.cluster, request.sensitiveKinds ?? []]).length;
  if (values > 1024 * 1024) {
    errors.push(tooMuch('values-size', 'labels, facts and API versions of the cluster', 1024 * 1024, values, 'characters'));
  }
  for (const recipient of request.recipients) {
    if (!/^age1[0-9a-z]{20,4000}$/.test(recipient.ageRecipient) || !/^[0-9a-f]{32,128}$/.test(recipient.equalityKey)) {
      refuse('recipient', `cluster ${JSON.stringify(recipient.cluster.slice(0, 80))} has no usable sealing key; enrol it again`);
    }
    if (errors.length > 20) return errors.slice(0, 20);
  }
  checkFiles(request, limits, errors);
  return errors.slice(0, 20);
}

function checkFiles(request: RenderRequest, limits: RenderLimits, errors: RenderError[]): void {
  if (request.files.size > limits.files) {
    errors.push(tooMuch('file-count', 'the directory', limits.files, request.files.size, 'files'));
    return;
  }
  let bytes = 0;
  for (const [path, content] of request.files) {
    bytes += content.byteLength;
    const wrong = whatIsWrongWithPath(path, limits.pathBytes);
    if (wrong === undefined) continue;
    const file = path.length > 120 ? `${path.slice(0, 120)}…` : path;
    errors.push({
      code: 'FL_RENDER_REQUEST',
      rule: 'path-form',
      file: printable(file),
      message: `the file name ${wrong}; rename the file`,
    });
    if (errors.length > 20) return;
  }
  if (bytes > limits.inputBytes) errors.push(tooMuch('input-size', 'all files together', limits.inputBytes, bytes, 'bytes'));
}

function tooMuch(rule: string, what: string, limit: number, value: number, unit: string): RenderError {
  const message = `${what} come to ${value} ${unit}, more than ${limit}; split the application`;
  return { code: 'FL_RENDER_LIMIT', rule, message, limit, value };
}

// Control characters, and those by which a name reads differently from what it is (Unicode TR36, bidirectional text).
const unprintable = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

function whatIsWrongWithPath(path: string, maxBytes: number): string | undefined {
  if (path === '') return 'is empty';
  if (Buffer.byteLength(path) > maxBytes) return `is longer than ${maxBytes} bytes`;
  if (!path.isWellFormed()) return 'is not valid Unicode';
  if (unprintable.test(path)) return 'has control or text direction characters';
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path)) return 'is absolute';
  if (path.includes('\\')) return 'has a backslash';
  if (path.split('/').some((segment) => segment === '' || segment === '.' || segment === '..'))
    return 'has an empty, . or .. segment';
  return undefined;
}

function printable(text: string): string {
  return JSON.stringify(text.toWellFormed())
    .slice(1, -1)
    .replaceAll(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '?');
}
