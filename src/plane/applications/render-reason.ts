import { FairleadError } from '#base';
import { isReasonCode, reasonOf, type UntimedReason } from '#api';
import type { RenderError } from '#render';

/** Where a failed render was about. */
export interface RenderPlace {
  readonly path: string;
  readonly commit: string;
  /** The cluster it was rendered for, when not every cluster is rendered alike. */
  readonly cluster: string | undefined;
  /** A cluster that it was rendered for, always: what is not known of a cluster is about that one. */
  readonly example?: string | undefined;
}

/** The one sentence that a person gets for a failed render: its first error, and how many more there are. Pure. */
export function reasonOfRender(errors: readonly RenderError[], place: RenderPlace): UntimedReason {
  const [first] = errors;
  const commit = place.commit.slice(0, 12);
  if (first === undefined)
    return reasonOf('FL_RENDER_REFUSED', { path: place.path, commit, message: 'the renderer gave no reason' });
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  const where = place.cluster === undefined ? '' : ` (cluster ${place.cluster})`;
  const { file } = first;
  const message = `${first.object === undefined ? '' : `${first.object}: `}${first.message}${where}${more}`;
  switch (first.code) {
    case 'FL_RENDER_DEADLINE':
      return reasonOf('FL_RENDER_TIMEOUT', { path: place.path, limit: `${first.limit ?? '?'} ms` });
    case 'FL_RENDER_QUARANTINED':
      return reasonOf('FL_RENDER_QUARANTINED', { path: place.path, commit, kills: first.value ?? first.limit ?? 3 });
    case 'FL_RENDER_LIMIT':
      if (first.value !== undefined && first.limit !== undefined) {
        const what = `${first.object === undefined ? '' : `${first.object}, `}${first.rule.replaceAll('-', ' ')}`;
        return reasonOf('FL_RENDER_LIMIT', { file: file ?? place.path, what, value: first.value, limit: first.limit });
      }
      break;
    case 'FL_RENDER_VARIABLE': {
      const variable = /\$\{[^}]{1,200}\}/.exec(first.message)?.[0];
      const cluster = place.cluster ?? place.example;
      if (variable !== undefined && file !== undefined && cluster !== undefined && first.rule === 'variable-unknown') {
        return reasonOf('FL_RENDER_VARIABLE', { file, line: first.line ?? 1, variable, cluster });
      }
      break;
    }
    default:
      break;
  }
  return file === undefined || first.line === undefined
    ? reasonOf('FL_RENDER_REFUSED', { path: file ?? place.path, commit, message })
    : reasonOf('FL_RENDER_FAILED', { file, line: first.line, message });
}

/** The reason in an error of the source room, if it is one. */
export function reasonOfError(error: unknown): UntimedReason | undefined {
  if (!(error instanceof FairleadError) || error.retryable) return undefined;
  return isReasonCode(error.code) ? reasonOf(error.code, error.details) : undefined;
}
