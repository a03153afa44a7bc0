import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { waitFor } from '#base';
import type { ClusterHandle } from '#testbed';
import { createPki } from '../pki.ts';

/** An admission webhook on the loopback, registered for ConfigMaps and Secrets of one namespace; it is gone with its disposal. */
export interface AdmissionWebhook extends AsyncDisposable {
  readonly url: string;
}

/** `judge` answers why the object is denied, or undefined. */
export async function startAdmissionWebhook(options: {
  readonly handle: ClusterHandle;
  /** Name of its configuration: unique on the shared cluster. */
  readonly name: string;
  readonly namespace: string;
  readonly judge: (object: Readonly<Record<string, unknown>>) => string | undefined;
  /** How long an answer takes. Default: no time. */
  readonly answerAfterMs?: () => number;
}): Promise<AdmissionWebhook> {
  const { handle, name, namespace, judge } = options;
  const pki = await createPki(name, Date.now());
  const server: Server = createServer({ key: pki.serverKey, cert: pki.serverCert }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
        readonly request: { readonly uid: string; readonly object: Readonly<Record<string, unknown>> };
      };
      const message = judge(review.request.object);
      const status = message === undefined ? {} : { status: { code: 403, message } };
      response.setHeader('content-type', 'application/json');
      const answer = JSON.stringify({
        apiVersion: 'admission.k8s.io/v1',
        kind: 'AdmissionReview',
        response: { uid: review.request.uid, allowed: message === undefined, ...status },
      });
      setTimeout(() => response.end(answer), options.answerAfterMs?.() ?? 0);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A listening TCP server has an AddressInfo.
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  await handle.apply(
    JSON.stringify({
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name },
      webhooks: [
        {
          name: 'judge.fairlead.test',
          clientConfig: { url, caBundle: Buffer.from(pki.caCert).toString('base64') },
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
          rules: [
            { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['configmaps', 'secrets'] },
          ],
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
        },
      ],
    }),
  );
  return {
    url,
    async [Symbol.asyncDispose]() {
      await handle.request('DELETE', `/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/${name}`);
      server.close();
      server.closeAllConnections();
    },
  };
}

/** A ValidatingAdmissionPolicy for ConfigMaps of one namespace: refuses where `expression` is false. */
export async function startAdmissionPolicy(options: {
  readonly handle: ClusterHandle;
  readonly name: string;
  readonly namespace: string;
  /** CEL. */
  readonly expression: string;
  /** CEL; says why. */
  readonly messageExpression: string;
}): Promise<AsyncDisposable> {
  const { handle, name, namespace, expression, messageExpression } = options;
  const group = '/apis/admissionregistration.k8s.io/v1';
  await handle.apply(
    [
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicy',
        metadata: { name },
        spec: {
          matchConstraints: {
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
            resourceRules: [
              { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['configmaps', 'secrets'] },
            ],
          },
          validations: [{ expression, messageExpression }],
        },
      },
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicyBinding',
        metadata: { name },
        spec: { policyName: name, validationActions: ['Deny'] },
      },
    ]
      .map((manifest) => JSON.stringify(manifest))
      .join('\n---\n'),
  );
  return {
    async [Symbol.asyncDispose]() {
      await handle.request('DELETE', `${group}/validatingadmissionpolicybindings/${name}`);
      await handle.request('DELETE', `${group}/validatingadmissionpolicies/${name}`);
    },
  };
}

/** API servers take a moment to honour a policy, a webhook or a quota: waits until they refuse this object. */
export async function untilRefused(handle: ClusterHandle, path: string, body: unknown): Promise<string> {
  return waitFor(
    `the API server to refuse ${path}`,
    async () => {
      const { status, text } = await handle.request('POST', `${path}?dryRun=All`, { body });
      if (status < 400) throw new Error(`it answers ${status}`);
      return text;
    },
    { timeoutMs: 60_000, intervalMs: 200 },
  );
}
