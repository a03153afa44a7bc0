import type { KubeMeta, MetadataInjection } from '#kube';
import type { ObjectKey } from '../core/model.ts';

/** The one field manager of everything that is applied. */
export const FIELD_MANAGER = 'fairlead';
/** Which application holds the object; for watches. Value: `ownerOf`. */
export const OWNER_LABEL = 'fairlead.dev/owner';
/** The object's own `group/kind/namespace/name`: a copy of the label (operators and controllers copy labels) does not name itself. */
export const OBJECT_ANNOTATION = 'fairlead.dev/object';
/** `disabled`: stays when it is gone from Git. */
export const PRUNE_ANNOTATION = 'fairlead.dev/prune';
/** On an object made by a hook: which run, event and hook of which application made it. */
export const HOOK_LABEL = 'fairlead.dev/hook';
/** On such an object: the owner whose hook it is. */
export const HOOK_OWNER_ANNOTATION = 'fairlead.dev/hook-of';
/** On such a Job: its `ttlSecondsAfterFinished`, which counts only once its result was seen. */
export const HOOK_TTL_ANNOTATION = 'fairlead.dev/hook-ttl';
export const WAVE_ANNOTATION = 'fairlead.dev/wave';

export function marksFor(owner: string, key: ObjectKey): Required<Pick<MetadataInjection, 'labels' | 'annotations'>> {
  return { labels: { [OWNER_LABEL]: owner }, annotations: { [OBJECT_ANNOTATION]: key } };
}

/** Whether the object says of itself that this application holds it. */
export function isMarked(
  metadata: Pick<KubeMeta, 'labels' | 'annotations' | 'ownerReferences'>,
  owner: string,
  key: ObjectKey,
): boolean {
  return metadata.labels?.[OWNER_LABEL] === owner && namesItself(metadata, key);
}

/** Not a copy, and not made by a controller. */
export function namesItself(metadata: Pick<KubeMeta, 'annotations' | 'ownerReferences'>, key: ObjectKey): boolean {
  return metadata.annotations?.[OBJECT_ANNOTATION] === key && controllerOf(metadata) === undefined;
}

export function controllerOf(metadata: Pick<KubeMeta, 'ownerReferences'>): string | undefined {
  const controller = metadata.ownerReferences?.find((reference) => reference.controller === true);
  return controller === undefined ? undefined : `${controller.kind} ${controller.name}`;
}
