/** One manifest, as an object: printed by the caller as YAML or JSON. */
export type ProfileManifest = Readonly<Record<string, unknown>>;

export interface ProfileOptions {
  /** The agent's own namespace. */
  readonly namespace: string;
  readonly serviceAccount?: string;
  /**
   * What the agent may do beyond its own namespace, chosen by the cluster's owner:
   * - `admin`: everything. An explicit choice; nothing falls back to it.
   * - `namespaces`: the role `admin` in each of these, and nothing cluster-wide.
   * - `clusterRole`: what the named ClusterRole says, cluster-wide.
   */
  readonly grant:
    | { readonly kind: 'admin' }
    | { readonly kind: 'namespaces'; readonly namespaces: readonly string[] }
    | { readonly kind: 'clusterRole'; readonly name: string };
  /** Service accounts (`namespace/name`) the agent may act as. Absent: every one; none: `[]`. With `namespaces`: those in them. */
  readonly impersonate?: readonly string[];
}

const RBAC = 'rbac.authorization.k8s.io';
const API = `${RBAC}/v1`;

/** The RBAC of an agent, as manifests in the order in which they apply. */
export function agentProfile(options: ProfileOptions): ProfileManifest[] {
  const { namespace, grant } = options;
  const account = options.serviceAccount ?? 'fairlead-agent';
  const subjects = [{ kind: 'ServiceAccount', name: account, namespace }];
  const metadata = (name: string, where?: string): object => ({
    name,
    ...(where === undefined ? {} : { namespace: where }),
    labels: { 'app.kubernetes.io/name': 'fairlead-agent', 'app.kubernetes.io/part-of': 'fairlead' },
  });
  const roleRef = (kind: 'Role' | 'ClusterRole', name: string): object => ({ apiGroup: RBAC, kind, name });
  const clusterName = `fairlead-agent:${namespace}`;

  const manifests: ProfileManifest[] = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: metadata(namespace) },
    // The agent's pod asks for the token by itself.
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: metadata(account, namespace), automountServiceAccountToken: false },
    {
      apiVersion: API,
      kind: 'Role',
      metadata: metadata('fairlead-agent', namespace),
      rules: [
        { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'create', 'update', 'delete'] },
        { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update', 'patch'] },
      ],
    },
    {
      apiVersion: API,
      kind: 'RoleBinding',
      metadata: metadata('fairlead-agent', namespace),
      roleRef: roleRef('Role', 'fairlead-agent'),
      subjects,
    },
    {
      apiVersion: API,
      kind: 'ClusterRole',
      metadata: metadata(`${clusterName}:base`),
      rules: [
        // Which cluster this is, and what it can do.
        { apiGroups: [''], resources: ['namespaces'], resourceNames: ['kube-system'], verbs: ['get'] },
        { apiGroups: [''], resources: ['nodes'], verbs: ['list'] },
        { apiGroups: ['apiextensions.k8s.io'], resources: ['customresourcedefinitions'], verbs: ['get', 'list', 'watch'] },
        { apiGroups: ['apiregistration.k8s.io'], resources: ['apiservices'], verbs: ['get', 'list', 'watch'] },
        // Whose replicas are an autoscaler's. With namespaces the role admin says so.
        ...(grant.kind === 'namespaces'
          ? []
          : [{ apiGroups: ['autoscaling'], resources: ['horizontalpodautoscalers'], verbs: ['list'] }]),
        ...clusterImpersonation(options),
      ],
    },
    {
      apiVersion: API,
      kind: 'ClusterRoleBinding',
      metadata: metadata(`${clusterName}:base`),
      roleRef: roleRef('ClusterRole', `${clusterName}:base`),
      subjects,
    },
  ];

  switch (grant.kind) {
    case 'admin':
      manifests.push({
        apiVersion: API,
        kind: 'ClusterRoleBinding',
        metadata: metadata(`${clusterName}:admin`),
        roleRef: roleRef('ClusterRole', 'cluster-admin'),
        subjects,
      });
      break;
    case 'clusterRole':
      manifests.push({
        apiVersion: API,
        kind: 'ClusterRoleBinding',
        metadata: metadata(`${clusterName}:granted`),
        roleRef: roleRef('ClusterRole', grant.name),
        subjects,
      });
      break;
    case 'namespaces':
      for (const one of grant.namespaces) {
        manifests.push(
          {
            apiVersion: API,
            kind: 'RoleBinding',
            metadata: metadata('fairlead-agent-admin', one),
            roleRef: roleRef('ClusterRole', 'admin'),
            subjects,
          },
          {
            apiVersion: API,
            kind: 'Role',
            metadata: metadata('fairlead-agent-impersonate', one),
            rules: impersonationIn(options, one),
          },
          {
            apiVersion: API,
            kind: 'RoleBinding',
            metadata: metadata('fairlead-agent-impersonate', one),
            roleRef: roleRef('Role', 'fairlead-agent-impersonate'),
            subjects,
          },
        );
      }
      break;
  }
  return manifests;
}

/** Acting as a service account takes the right to its name and to the groups its token would have. */
function clusterImpersonation(options: ProfileOptions): object[] {
  if (options.impersonate?.length === 0) return [];
  const spaces =
    options.grant.kind === 'namespaces' ? options.grant.namespaces : options.impersonate?.map((one) => one.split('/')[0] ?? '');
  const groups =
    spaces === undefined
      ? {}
      : {
          resourceNames: [
            'system:serviceaccounts',
            'system:authenticated',
            ...new Set(spaces.map((one) => `system:serviceaccounts:${one}`)),
          ],
        };
  const rules: object[] = [{ apiGroups: [''], resources: ['groups'], verbs: ['impersonate'], ...groups }];
  if (options.grant.kind === 'namespaces') return rules;
  const names =
    options.impersonate === undefined ? {} : { resourceNames: options.impersonate.map((one) => one.split('/')[1] ?? '') };
  return [...rules, { apiGroups: [''], resources: ['serviceaccounts'], verbs: ['impersonate'], ...names }];
}

function impersonationIn(options: ProfileOptions, namespace: string): object[] {
  const rule = { apiGroups: [''], resources: ['serviceaccounts'], verbs: ['impersonate'] };
  if (options.impersonate === undefined) return [rule];
  const resourceNames = options.impersonate
    .filter((one) => one.startsWith(`${namespace}/`))
    .map((one) => one.slice(namespace.length + 1));
  // To RBAC an empty list of names means every name.
  return resourceNames.length === 0 ? [] : [{ ...rule, resourceNames }];
}
