import type { DesiredApplication, ObjectIdentity } from '#api';

/** JSON pointers of the application's rules that hold for this object. */
export function ignoreRulesFor(wanted: DesiredApplication, id: ObjectIdentity): string[] {
  return (wanted.settings.drift?.ignore ?? [])
    .filter(
      (rule) =>
        (rule.group === undefined || rule.group === id.group) &&
        (rule.kind === undefined || rule.kind === id.kind) &&
        (rule.namespace === undefined || rule.namespace === id.namespace) &&
        (rule.name === undefined || rule.name === id.name),
    )
    .flatMap((rule) => rule.jsonPointers);
}
