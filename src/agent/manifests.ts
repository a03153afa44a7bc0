import { agentProfile, type ProfileManifest, type ProfileOptions } from './profiles.ts';

export interface ManifestOptions extends ProfileOptions {
  /** As the cluster reaches it. */
  readonly planeUrl: string;
  /** `registry.example/fairlead-agent:0.1.0` */
  readonly image: string;
  /** Absent: the agent has joined before. */
  readonly joinToken?: string;
}

const JOIN_SECRET = 'fairlead-agent-join';

/**
 * Everything that runs an agent in a cluster, in the order in which it applies: what charts/fairlead-agent renders with its
 * default values (a test compares the two), for `kubectl apply -f -` without Helm. Holds the join token, if one is given.
 */
export function agentManifests(options: ManifestOptions): ProfileManifest[] {
  const { namespace, grant, joinToken } = options;
  const selector = { 'app.kubernetes.io/name': 'fairlead-agent', 'app.kubernetes.io/instance': 'fairlead-agent' };
  const labels = { ...selector, 'app.kubernetes.io/part-of': 'fairlead' };
  const metadata = (name: string): object => ({ name, namespace, labels });
  const manifests = agentProfile(options).map((manifest) =>
    manifest['kind'] === 'Namespace' ? withPodSecurity(manifest) : manifest,
  );
  if (joinToken !== undefined) {
    manifests.push({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: metadata(JOIN_SECRET),
      type: 'Opaque',
      data: { token: Buffer.from(joinToken.trim()).toString('base64') },
    });
  }
  const onLostNode = (key: string): object => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 30 });
  manifests.push({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadata('fairlead-agent'),
    spec: {
      // The Lease lets one process apply. A second pod would only wait, and be reported as a twin.
      replicas: 1,
      strategy: { type: 'Recreate' },
      revisionHistoryLimit: 3,
      selector: { matchLabels: selector },
      template: {
        metadata: { labels },
        spec: {
          serviceAccountName: options.serviceAccount ?? 'fairlead-agent',
          automountServiceAccountToken: true,
          enableServiceLinks: false,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 65532,
            runAsGroup: 65532,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          terminationGracePeriodSeconds: 30,
          containers: [
            {
              name: 'agent',
              image: options.image,
              imagePullPolicy: 'IfNotPresent',
              args: [
                `--plane=${options.planeUrl}`,
                ...(grant.kind === 'namespaces' ? [`--watch-namespaces=${grant.namespaces.join(',')}`] : []),
                '--lease-duration=60',
                '--log-level=info',
              ],
              env: [
                // Names the holder of the Lease: a container that is started again in its pod goes on at once.
                { name: 'HOSTNAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
                ...(joinToken === undefined
                  ? []
                  : [
                      {
                        name: 'FAIRLEAD_JOIN_TOKEN',
                        valueFrom: { secretKeyRef: { name: JOIN_SECRET, key: 'token', optional: true } },
                      },
                    ]),
              ],
              resources: { requests: { cpu: '20m', memory: '128Mi' }, limits: { memory: '384Mi' } },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
            },
          ],
          tolerations: [onLostNode('node.kubernetes.io/not-ready'), onLostNode('node.kubernetes.io/unreachable')],
        },
      },
    },
  });
  return manifests;
}

function withPodSecurity(namespace: ProfileManifest): ProfileManifest {
  const metadata = namespace['metadata'] as { readonly labels: object }; // as agentProfile writes it
  const level = (mode: string): object => ({ [`pod-security.kubernetes.io/${mode}`]: 'restricted' });
  return { ...namespace, metadata: { ...metadata, labels: { ...metadata.labels, ...level('enforce'), ...level('warn') } } };
}
