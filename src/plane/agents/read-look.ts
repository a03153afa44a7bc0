import type { LookAnswer, LookTarget } from '#api';
import { REDACTED } from '#base';
import { isHiddenKind, isRecord, keysOnly, parseApiVersion, shownObject, type KubeObject } from '#kube';

const MAX_DEPTH = 200;

/**
 * An agent's answer, believed as far as it can be: about the object that was asked for, of the shape it should have, and with
 * every value of a Secret hidden here once more. Undefined: it is not, and nothing of it may be shown. Pure.
 */
export function readLook(target: LookTarget, answer: LookAnswer): LookAnswer | undefined {
  const { group, version, kind, namespace, name } = answer.object;
  const asked = target.object;
  if (group !== asked.group || kind !== asked.kind || namespace !== asked.namespace || name !== asked.name) return undefined;
  if (version !== asked.version) return undefined;
  const { manifest, wanted, git, differences, ...rest } = answer;
  switch (answer.is) {
    case 'refused':
      return answer.refusal === undefined ? undefined : rest;
    case 'absent':
      return rest;
    case 'live': {
      const live = manifest === undefined ? undefined : objectIn(manifest);
      if (live === undefined || !isAbout(live, target)) return undefined;
      const isHidden = isHiddenKind(live);
      const other = wanted === undefined ? undefined : objectIn(wanted);
      if (wanted !== undefined && (other === undefined || !isAbout(other, target))) return undefined;
      return {
        ...rest,
        manifest: JSON.stringify(shownObject(live, isHidden)),
        ...(other === undefined ? {} : { wanted: JSON.stringify(keysOnly(other)) }),
        git: (git ?? []).filter((pointer) => pointer.startsWith('/')),
        differences: (differences ?? []).map((one) => (isHidden ? withoutValues(one) : one)),
      };
    }
  }
}

/** For an object that is sealed to its cluster, whatever its kind. */
export function hideLook(answer: LookAnswer): LookAnswer {
  const live = answer.manifest === undefined ? undefined : objectIn(answer.manifest);
  return {
    ...answer,
    ...(live === undefined ? {} : { manifest: JSON.stringify(keysOnly(live)) }),
    ...(answer.differences === undefined ? {} : { differences: answer.differences.map(withoutValues) }),
  };
}

function withoutValues(one: NonNullable<LookAnswer['differences']>[number]): typeof one {
  return {
    ...one,
    ...(one.want === undefined ? {} : { want: REDACTED }),
    ...(one.live === undefined ? {} : { live: REDACTED }),
  };
}

function objectIn(text: string): KubeObject | undefined {
  if (isTooDeep(text)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || typeof value['apiVersion'] !== 'string' || typeof value['kind'] !== 'string') return undefined;
  const { metadata } = value;
  if (!isRecord(metadata) || typeof metadata['name'] !== 'string') return undefined;
  const { annotations, labels } = metadata;
  if ((annotations !== undefined && !isRecord(annotations)) || (labels !== undefined && !isRecord(labels))) return undefined;
  return value as unknown as KubeObject; // what everything here reads of it was checked
}

function isAbout(object: KubeObject, { object: asked }: LookTarget): boolean {
  const { namespace, name } = object.metadata;
  return (
    parseApiVersion(object.apiVersion).group === asked.group &&
    object.kind === asked.kind &&
    name === asked.name &&
    (asked.namespace === '' || namespace === asked.namespace)
  );
}

/** Before it is parsed: what walks an object is recursive, and no object that is real comes near. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  let isText = false;
  for (let at = 0; at < text.length; at += 1) {
    const c = text[at];
    if (isText) {
      if (c === '\\') at += 1;
      else if (c === '"') isText = false;
    } else if (c === '"') isText = true;
    else if (c === '{' || c === '[') {
      depth += 1;
      if (depth > MAX_DEPTH) return true;
    } else if (c === '}' || c === ']') depth -= 1;
  }
  return false;
}
