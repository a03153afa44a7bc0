import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { ClusterHandle } from '#testbed';

/** A request of an agent, as the API server's audit log has it. */
export interface AuditedRequest {
  readonly verb: string;
  readonly uri: string;
  readonly code: number;
}

/** The audit log from now on, of what the agents of one fleet (by their namespace) asked. */
export interface AuditMark {
  /** All requests, without Leases, and without discovery, which follows the CRDs of other tests; a watch counts when it begins. */
  requests(): readonly AuditedRequest[];
  /** Those that write. */
  writes(): readonly AuditedRequest[];
}

interface AuditLine {
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource: string };
  readonly responseStatus?: { readonly code?: number };
}

const reads = ['get', 'list', 'watch'];

export function auditMark(handle: ClusterHandle, agentNamespace: string): AuditMark {
  const from = read(handle.auditLog, 0).size;
  const user = `system:serviceaccount:${agentNamespace}:fairlead-agent`;
  const requests = (): AuditedRequest[] =>
    read(handle.auditLog, from)
      .text.split('\n')
      .filter((line) => line.includes(user))
      .map((line) => JSON.parse(line) as AuditLine) // written by the API server
      .filter((line) => line.user.username === user && line.objectRef?.resource !== 'leases' && !isDiscovery(line.requestURI))
      // Of a watch the log has two lines, the second when it ends.
      .filter((line) => line.stage === (line.verb === 'watch' ? 'ResponseStarted' : 'ResponseComplete'))
      .map((line) => ({ verb: line.verb, uri: line.requestURI, code: line.responseStatus?.code ?? 0 }));
  return { requests, writes: () => requests().filter(({ verb }) => !reads.includes(verb)) };
}

function isDiscovery(uri: string): boolean {
  return /^\/(apis?|version|readyz)$/.test(uri.split('?')[0] ?? '');
}

/** The end of the log; all of it when it was rotated since. */
function read(path: string, from: number): { readonly size: number; readonly text: string } {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const at = size < from ? 0 : from;
    if (from === 0) return { size, text: '' };
    const bytes = Buffer.alloc(size - at);
    readSync(file, bytes, 0, bytes.length, at);
    return { size, text: bytes.toString('utf8') };
  } finally {
    closeSync(file);
  }
}
