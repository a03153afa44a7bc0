import { reason, type Reason, type ReasonArgs, type ReasonCode } from '#api';
import { FairleadError, messageOf, rfc3339 } from '#base';
import { capBytes, describeId, fieldConflicts, isSecretKind, KubeStatusError, parseId, redactMessage } from '#kube';
import type { PlannedObject } from '../core/model.ts';
import { identityName, type ClusterPort } from './cluster-port.ts';

export interface Failure {
  readonly reason: Reason;
  readonly retry: 'soon' | 'late' | 'kind';
}

const MAX_WORDS_BYTES = 1024;

/** Why the cluster refused one object, in the words of the reasons catalogue. Nothing of a Secret's values is repeated. */
export function failureOf(
  error: unknown,
  about: {
    readonly object: Pick<PlannedObject, 'key' | 'source'>;
    readonly verb: string;
    readonly serviceAccount: string | undefined;
  },
  port: Pick<ClusterPort, 'cluster' | 'clock'>,
): Failure {
  const id = parseId(about.object.key);
  const since = rfc3339(port.clock.now());
  const said = error instanceof KubeStatusError ? error.said : messageOf(error);
  const words = capBytes(redactMessage(said, isSecretKind(id) ? { kind: 'Secret' } : {}), MAX_WORDS_BYTES);
  const args = {
    cluster: port.cluster,
    object: describeId(id),
    words,
    ...(about.object.source === undefined ? {} : { file: about.object.source.file, line: String(about.object.source.line) }),
  };
  const give = (code: ReasonCode, retry: Failure['retry'], more: ReasonArgs = {}): Failure => ({
    reason: reason(code, { ...args, ...more }, since),
    retry,
  });
  const code = error instanceof FairleadError ? error.code : '';
  switch (code) {
    case 'FL_KUBE_NO_KIND':
      return give('FL_APPLY_NO_KIND', 'kind', { kind: id.kind });
    case 'FL_KUBE_IMMUTABLE':
      return give('FL_APPLY_IMMUTABLE', 'late', { field: immutableField(error) });
    case 'FL_KUBE_INVALID': {
      const version = storedVersion(error);
      return version === undefined ? give('FL_APPLY_INVALID', 'late') : give('FL_APPLY_STORED_VERSION', 'late', { version });
    }
    case 'FL_KUBE_BAD_REQUEST':
    case 'FL_KUBE_BODY':
      return give('FL_APPLY_INVALID', 'late');
    case 'FL_KUBE_ADMISSION_DENIED':
      return give('FL_APPLY_DENIED', 'late');
    case 'FL_KUBE_QUOTA':
      return give('FL_APPLY_QUOTA', 'late');
    case 'FL_KUBE_FORBIDDEN':
    case 'FL_KUBE_UNAUTHENTICATED':
      return give('FL_APPLY_FORBIDDEN', 'late', { identity: identityName(about.serviceAccount), verb: about.verb });
    case 'FL_KUBE_FIELD_CONFLICT': {
      const conflict = fieldConflicts(error)[0];
      return give('FL_APPLY_CONFLICT', 'late', { field: conflict?.field ?? '', manager: conflict?.manager ?? '' });
    }
    case 'FL_KUBE_NAMESPACE_TERMINATING':
      return give('FL_APPLY_TERMINATING', 'soon', { object: `Namespace ${id.namespace}`, finalizers: 'kubernetes' });
    case 'FL_AGENT_UNSEAL':
      return give('FL_APPLY_SECRET', 'late');
    case 'FL_KUBE_CONFLICT':
      return give('FL_APPLY_FAILED', 'soon', { retry: 'at once' });
    default: {
      const isAway = error instanceof FairleadError && error.kind === 'unavailable';
      return isAway
        ? give('FL_APPLY_UNAVAILABLE', 'soon', { retry: 'soon' })
        : give('FL_APPLY_FAILED', 'soon', { retry: 'soon' });
    }
  }
}

/** The version of a CustomResourceDefinition that must stay, because objects may be stored in it. */
function storedVersion(error: unknown): string | undefined {
  if (!(error instanceof KubeStatusError)) return undefined;
  const cause = error.causes.find((one) => one.field.startsWith('status.storedVersions'));
  return /Invalid value: "([^"]+)"/.exec(cause?.message ?? '')?.[1];
}

function immutableField(error: unknown): string {
  if (!(error instanceof KubeStatusError)) return '';
  const cause = error.causes.find((one) => /immutable|may not be changed|updates to .* are forbidden/.test(one.message));
  return cause?.field ?? /updates to ([\w ]+?) (?:for fields|are forbidden)/.exec(error.said)?.[1] ?? '';
}
