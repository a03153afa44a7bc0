import { buildRenderer } from './build.ts';
import type { Recipient, RenderedObject, RenderError, RenderOptions, RenderRequest, RenderResult } from './types.ts';

/** For tests: the built module's path, built at most once per process. */
export function builtModule(): Promise<string> {
  module ??= buildRenderer();
  return module;
}
let module: Promise<string> | undefined;

/** A valid X25519 recipient whose identity nobody has; tests that unseal make their own. */
export const someRecipient: Recipient = {
  cluster: 'edge-1',
  ageRecipient: 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p',
  equalityKey: 'ab'.repeat(32),
};

type Overrides = Partial<Omit<RenderRequest, 'files' | 'render'>> & Partial<RenderOptions>;

export function requestOf(files: Readonly<Record<string, string | Uint8Array>>, overrides: Overrides = {}): RenderRequest {
  const { engine = 'manifests', recurse = true, substitute = false, helm, kustomize, ...rest } = overrides;
  const options = { ...(helm === undefined ? {} : { helm }), ...(kustomize === undefined ? {} : { kustomize }) };
  return {
    project: 'shop',
    application: 'web',
    cluster: { name: 'edge-1', labels: { env: 'prod', 'topology.kubernetes.io/region': 'eu-1' }, facts: { version: 'v1.36.3' } },
    files: new Map(Object.entries(files).map(([path, content]) => [path, Buffer.from(content)])),
    render: { engine, recurse, substitute, ...options },
    commitTimeMs: Date.UTC(2026, 0, 1),
    seed: '11'.repeat(32),
    recipients: [someRecipient],
    ...rest,
  };
}

export function configMap(name: string, data: Readonly<Record<string, string>> = { a: 'b' }): string {
  const lines = Object.entries(data).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}`);
  return `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n  namespace: shop\ndata:\n${lines.join('\n')}\n`;
}

/** The objects of a result that must be good. */
export function objectsOf(result: RenderResult): readonly RenderedObject[] {
  if (!result.ok) throw new Error(`the render failed: ${JSON.stringify(result.errors)}`);
  return result.objects;
}

/** The errors of a result that must be bad. */
export function errorsOf(result: RenderResult): readonly RenderError[] {
  if (result.ok) throw new Error(`the render succeeded with ${result.objects.length} objects`);
  return result.errors;
}

export function bodyOf(object: RenderedObject | undefined): string {
  if (object === undefined) throw new Error('there is no such object');
  return Buffer.from(object.sensitive ? object.redactedBody : object.body).toString('utf8');
}

/** Lines of errors as a person reads them: `a.yaml:3 duplicate-key`. */
export function briefly(errors: readonly RenderError[]): string[] {
  return errors.map((error) => `${error.file ?? '-'}:${error.line ?? 0} ${error.rule}`);
}
