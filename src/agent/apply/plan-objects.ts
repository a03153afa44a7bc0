import { FairleadError } from '#base';
import type { Bundle, BundleEntry, DesiredApplication, ObjectIdentity } from '#api';
import { formatId, getIn, type KubeObject } from '#kube';
import type { Outcome } from '../core/messages.ts';
import type { PlannedHook, PlannedObject } from '../core/model.ts';
import type { ClusterPort } from './cluster-port.ts';
import { failureOf } from './failure.ts';
import { limitViolation } from './limits.ts';

type Planned = Extract<Outcome, { type: 'planned' }>;

/** Settles where every object of a bundle lives in this cluster, and whether it may. */
export async function planObjects(
  bundle: Bundle,
  wanted: DesiredApplication,
  peek: (entry: { readonly digest: string; readonly isSealed: boolean }) => KubeObject | undefined,
  port: ClusterPort,
): Promise<Planned> {
  const objects: PlannedObject[] = [];
  const unresolved: Planned['unresolved'][number][] = [];
  const refused: Planned['refused'][number][] = [];
  const ownScopes = scopesInBundle(bundle, peek);
  const hooks: PlannedHook[] = [];
  /** The object as it lives in this cluster; undefined where it cannot, or must not. */
  const place = async (entry: BundleEntry): Promise<PlannedObject | undefined> => {
    const scope = await scopeOf(entry, ownScopes, port);
    const isSealed = entry.sealed !== undefined;
    const id: ObjectIdentity = {
      ...entry.id,
      namespace: scope === 'Cluster' ? '' : entry.id.namespace || wanted.settings.defaultNamespace || 'default',
    };
    const object: PlannedObject = {
      // A generated name is known only later: the digest tells one such object from another.
      key: formatId(id.name === '' ? { ...id, name: `*${entry.digest.slice(-8)}` } : id),
      id,
      digest: entry.digest,
      stage: entry.stage,
      wave: entry.wave,
      isSealed,
      isKept: entry.keep === true,
      isCreateOnly: entry.createOnly === true,
      ...(entry.source === undefined ? {} : { source: entry.source }),
    };
    if (scope instanceof FairleadError) {
      unresolved.push({
        id: entry.id,
        reason: failureOf(scope, { object, verb: 'find', serviceAccount: wanted.serviceAccount }, port).reason,
      });
      return undefined;
    }
    const subject = { id, isNamespaced: scope === 'Namespaced', content: () => peek({ digest: entry.digest, isSealed }) };
    const violation = limitViolation(subject, wanted, port);
    if (violation === undefined) return object;
    refused.push({ id, reason: violation });
    return undefined;
  };
  for (const entry of bundle.entries) {
    const object = await place(entry);
    if (object !== undefined) objects.push(object);
  }
  for (const entry of bundle.hooks ?? []) {
    const object = await place(entry);
    const { events, deletePolicies, timeoutSeconds } = entry;
    if (object !== undefined) hooks.push({ ...object, events, deletePolicies, timeoutSeconds });
  }
  return { type: 'planned', objects, hooks, isTakeover: false, unresolved, refused };
}

/** Scopes of kinds whose definitions travel in the same bundle. */
function scopesInBundle(bundle: Bundle, peek: Parameters<typeof planObjects>[2]): ReadonlyMap<string, 'Namespaced' | 'Cluster'> {
  const scopes = new Map<string, 'Namespaced' | 'Cluster'>();
  if ([...bundle.entries, ...(bundle.hooks ?? [])].every((entry) => entry.scope !== 'unknown')) return scopes;
  for (const entry of bundle.entries) {
    if (entry.id.group !== 'apiextensions.k8s.io' || entry.id.kind !== 'CustomResourceDefinition') continue;
    const definition = peek({ digest: entry.digest, isSealed: false });
    const group = getIn(definition, 'spec', 'group');
    const kind = getIn(definition, 'spec', 'names', 'kind');
    const scope = getIn(definition, 'spec', 'scope');
    if (scope === 'Namespaced' || scope === 'Cluster') scopes.set(`${String(group)}/${String(kind)}`, scope);
  }
  return scopes;
}

async function scopeOf(
  entry: BundleEntry,
  ownScopes: ReadonlyMap<string, 'Namespaced' | 'Cluster'>,
  port: ClusterPort,
): Promise<'Namespaced' | 'Cluster' | FairleadError> {
  if (entry.scope !== 'unknown') return entry.scope;
  const own = ownScopes.get(`${entry.id.group}/${entry.id.kind}`);
  if (own !== undefined) return own;
  try {
    return (await port.mapper.mapping(entry.id)).namespaced ? 'Namespaced' : 'Cluster';
  } catch (error) {
    if (error instanceof FairleadError && error.code === 'FL_KUBE_NO_KIND') return error;
    throw error;
  }
}
