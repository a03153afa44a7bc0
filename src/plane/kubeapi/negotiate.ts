import type { RequestHead } from '#plane/http';
import { failure } from './status-error.ts';

/** How an answer is to be written. */
export interface Negotiated {
  readonly form: 'object' | 'table' | 'partial' | 'partialList';
  readonly yaml: boolean;
  /** `meta.k8s.io/v1` or `v1beta1`, of a Table or PartialObjectMetadata. */
  readonly metaVersion: 'meta.k8s.io/v1' | 'meta.k8s.io/v1beta1';
}

const ACCEPTED = ['application/json', 'application/yaml'];
const PLAIN: Negotiated = { form: 'object', yaml: false, metaVersion: 'meta.k8s.io/v1' };

export interface AcceptClause {
  readonly type: string;
  readonly params: ReadonlyMap<string, string>;
}

export function acceptClauses(header: string | undefined): AcceptClause[] {
  return (header ?? '')
    .split(',')
    .map((clause) => clause.trim())
    .filter((clause) => clause !== '')
    .map((clause) => {
      const [type = '', ...params] = clause.split(';').map((part) => part.trim());
      return {
        type: type.toLowerCase(),
        params: new Map(
          params.map((param): [string, string] => {
            const at = param.indexOf('=');
            return at < 0 ? [param, ''] : [param.slice(0, at).trim(), param.slice(at + 1).trim()];
          }),
        ),
      };
    });
}

/** The first clause of Accept that this API can serve. Throws 406. */
export function negotiate(head: Pick<RequestHead, 'headers'>): Negotiated {
  const clauses = acceptClauses(head.headers.accept);
  if (clauses.length === 0) return PLAIN;
  for (const { type, params } of clauses) {
    const yaml = type === 'application/yaml' || type === 'application/x-yaml' || type === 'text/yaml';
    if (!yaml && type !== 'application/json' && type !== '*/*' && type !== 'application/*') continue;
    const as = params.get('as');
    if (as === undefined) return { ...PLAIN, yaml };
    const version = params.get('v');
    if (params.get('g') !== 'meta.k8s.io' || (version !== 'v1' && version !== 'v1beta1')) continue;
    const metaVersion = `meta.k8s.io/${version}` as const;
    if (as === 'Table') return { form: 'table', yaml, metaVersion };
    if (as === 'PartialObjectMetadata') return { form: 'partial', yaml, metaVersion };
    if (as === 'PartialObjectMetadataList') return { form: 'partialList', yaml, metaVersion };
  }
  throw failure.notAcceptable(ACCEPTED);
}

/** The media type of a request's body, without parameters; JSON when none is given. */
export function contentType(head: Pick<RequestHead, 'headers'>): string {
  const header = head.headers['content-type'];
  return header === undefined ? 'application/json' : (header.split(';')[0] ?? '').trim().toLowerCase();
}
