import type { DesiredApplication } from '#api';
import { hasStatus, redactMessage } from '#kube';
import type { PlannedObject } from '../core/model.ts';
import type { ClusterPort } from './cluster-port.ts';

/**
 * Creates `defaultNamespace` where it is missing: before the first object that lives in it, with the agent's own identity
 * (the application's service account may be meant to live there), without marks, so that it is never pruned.
 */
export async function ensureNamespace(
  wanted: DesiredApplication,
  objects: readonly PlannedObject[],
  port: ClusterPort,
  signal: AbortSignal,
): Promise<void> {
  const name = wanted.settings.defaultNamespace;
  if (name === undefined || name === '') return;
  if (!objects.some((object) => object.id.namespace === name)) return;
  const path = `/api/v1/namespaces/${encodeURIComponent(name)}`;
  try {
    await port.client.request({ method: 'GET', path, signal });
    return;
  } catch (error) {
    if (!hasStatus(error, 404)) {
      // Not allowed to look: whoever may not must have it made by someone else, and the objects will say so.
      if (hasStatus(error, 403)) return;
      throw error;
    }
  }
  port.mayWrite();
  const body = JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  try {
    await port.client.request({
      method: 'POST',
      path: '/api/v1/namespaces',
      query: { fieldManager: 'fairlead-namespace' },
      body,
      signal,
    });
    port.log.info({ namespace: name, application: wanted.name }, 'created the default namespace of an application');
  } catch (error) {
    if (hasStatus(error, 409)) return;
    if (!hasStatus(error, 403)) throw error;
    port.log.warn(
      { namespace: name, said: redactMessage(String(error)) },
      'the default namespace may not be created by the agent',
    );
  }
}
