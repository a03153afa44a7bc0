import { FairleadError } from '#base';

/**
 * Parses JSON from elsewhere. The error never quotes the text, as JSON.parse's own does: it may hold a Secret.
 * `what` names the text: `the answer to GET /api`.
 */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch {
    throw new FairleadError('FL_KUBE_JSON', `${what} is no JSON (${bytes.byteLength} bytes)`, { kind: 'unavailable' });
  }
}
