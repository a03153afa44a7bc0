import { namedFiles, type DiffView } from '#api';
import { diffObjects, formatYaml, markedYaml, type KubeObject } from '#kube';
import type { Manifests } from './views/index.ts';
import type { Preview, PreviewedObject } from './applications/index.ts';

/** A preview as the CLI and the console show it: fields instead of bodies; what is sealed to a cluster is only said to differ. */
export function diffViewOf(application: string, revision: number, preview: Preview): DiffView {
  return {
    revision,
    application,
    commit: preview.commit,
    subject: preview.subject,
    files: preview.files.map(namedFiles),
    against: preview.against,
    errors: preview.errors,
    groups: preview.groups.map(({ clusters, changes, unchanged, hooks }) => ({
      clusters,
      unchanged,
      changes: changes.map((one) => ({ id: one.entry.id, change: one.change, fields: fieldsOf(one) })),
      hooks: hooks.map(({ id, events }) => ({ id, events })),
    })),
  };
}

type Fields = DiffView['groups'][number]['changes'][number]['fields'];

function fieldsOf({ change, entry, before, after }: PreviewedObject): Fields {
  if (entry.sealed !== undefined)
    return change === 'changed' ? [{ path: '.data', before: '[redacted]', after: '[redacted]' }] : [];
  // A whole object that comes or goes is named, not spelled out.
  if (change !== 'changed') return [];
  return changesOf(before, after);
}

function changesOf(before: Uint8Array | undefined, after: Uint8Array | undefined): Fields {
  return diffObjects(parse(before), parse(after), { maxChanges: 100 }).map(({ path, before: was, after: is }) => ({
    path,
    before: was === undefined ? undefined : JSON.stringify(was),
    after: is === undefined ? undefined : JSON.stringify(is),
  }));
}

/** Manifests for people: the views show them as YAML and compare them field by field. */
export const manifests: Manifests = {
  toYaml: (bytes) => formatYaml(parse(bytes)),
  marked(bytes, git, drift) {
    const object = parse(bytes);
    if (object === null) return [];
    const drifted = markedYaml(object, drift);
    return markedYaml(object, git).map(({ text, isMarked }, at) => ({
      text,
      isGit: isMarked,
      isDrift: drifted[at]?.isWithin === true,
    }));
  },
  changes: changesOf,
};

/** For showing only: nothing that is parsed here is ever sent to a cluster. */
function parse(bytes: Uint8Array | undefined): KubeObject | null {
  return bytes === undefined ? null : (JSON.parse(Buffer.from(bytes).toString('utf8')) as KubeObject);
}
