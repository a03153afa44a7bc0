import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomToken, systemClock } from '#base';
import { createPki } from './pki.ts';

/** Files and credentials of one control plane. They outlive its processes, so that it can be restarted as the same one. */
export interface ControlPlaneFiles {
  readonly dir: string;
  readonly adminToken: string;
  readonly adminKubeconfig: string;
  readonly caFile: string;
  readonly auditLog: string;
}

interface Identity {
  readonly user: string;
  readonly group: string;
  /** The name of its kubeconfig: <file>.kubeconfig. */
  readonly file: string;
}

const ADMIN: Identity = { user: 'testbed-admin', group: 'system:masters', file: 'admin' };
const IDENTITIES: readonly Identity[] = [
  ADMIN,
  { user: 'system:kube-controller-manager', group: 'system:masters', file: 'controller-manager' },
  { user: 'system:kube-scheduler', group: 'system:kube-scheduler', file: 'scheduler' },
  { user: 'testbed:simulated-nodes', group: 'system:masters', file: 'nodes' },
];

/** Requests of the control plane itself would bury those a test wants to count. */
const AUDIT_POLICY = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
  - level: None
    users: ['system:apiserver', 'system:kube-controller-manager', 'system:kube-scheduler', 'testbed:simulated-nodes']
  - level: None
    nonResourceURLs: ['/readyz*', '/livez*', '/healthz*', '/metrics']
  - level: Metadata
`;

export async function writeControlPlaneFiles(dir: string, name: string, port: number): Promise<ControlPlaneFiles> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const pki = await createPki(name, systemClock.now());
  const write = (file: string, text: string): Promise<void> => writeFile(join(dir, file), text, { mode: 0o600 });
  const withTokens = IDENTITIES.map((identity) => ({ ...identity, token: randomToken() }));
  await Promise.all([
    write('ca.crt', pki.caCert),
    write('ca.key', pki.caKey),
    write('server.crt', pki.serverCert),
    write('server.key', pki.serverKey),
    write('service-account.key', pki.serviceAccountKey),
    write('service-account.pub', pki.serviceAccountPublicKey),
    write('audit-policy.yaml', AUDIT_POLICY),
    write('audit.log', ''),
    write('tokens.csv', withTokens.map((one) => `${one.token},${one.user},${one.user},"${one.group}"\n`).join('')),
    ...withTokens.map((one) => write(`${one.file}.kubeconfig`, kubeconfigOf(name, port, pki.caCert, one.user, one.token))),
  ]);
  const admin = withTokens.find((one) => one.file === ADMIN.file);
  return {
    dir,
    adminToken: admin?.token ?? '',
    adminKubeconfig: join(dir, `${ADMIN.file}.kubeconfig`),
    caFile: join(dir, 'ca.crt'),
    auditLog: join(dir, 'audit.log'),
  };
}

function kubeconfigOf(name: string, port: number, ca: string, user: string, token: string): string {
  return `apiVersion: v1
kind: Config
current-context: ${name}
clusters:
  - name: ${name}
    cluster:
      server: https://127.0.0.1:${port}
      certificate-authority-data: ${Buffer.from(ca).toString('base64')}
contexts:
  - name: ${name}
    context: {cluster: ${name}, user: '${user}'}
users:
  - name: '${user}'
    user: {token: ${token}}
`;
}

export function apiServerArgs(dir: string, options: { name: string; port: number; etcdSocket: string }): string[] {
  return [
    'kube-apiserver',
    `--etcd-servers=unix://${options.etcdSocket}`,
    `--etcd-prefix=/${options.name}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${options.port}`,
    `--tls-cert-file=${join(dir, 'server.crt')}`,
    `--tls-private-key-file=${join(dir, 'server.key')}`,
    `--client-ca-file=${join(dir, 'ca.crt')}`,
    `--token-auth-file=${join(dir, 'tokens.csv')}`,
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-signing-key-file=${join(dir, 'service-account.key')}`,
    `--service-account-key-file=${join(dir, 'service-account.pub')}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    '--allow-privileged=true',
    '--endpoint-reconciler-type=none',
    `--audit-policy-file=${join(dir, 'audit-policy.yaml')}`,
    `--audit-log-path=${join(dir, 'audit.log')}`,
    '--audit-log-maxsize=200',
    '--audit-log-maxbackup=1',
    '--v=1',
  ];
}

export function controllerManagerArgs(dir: string): string[] {
  return [
    'kube-controller-manager',
    `--kubeconfig=${join(dir, 'controller-manager.kubeconfig')}`,
    `--service-account-private-key-file=${join(dir, 'service-account.key')}`,
    `--root-ca-file=${join(dir, 'ca.crt')}`,
    `--cluster-signing-cert-file=${join(dir, 'ca.crt')}`,
    `--cluster-signing-key-file=${join(dir, 'ca.key')}`,
    '--leader-elect=false',
    '--secure-port=0',
    '--allocate-node-cidrs=false',
    '--kube-api-qps=500',
    '--kube-api-burst=1000',
    '--concurrent-namespace-syncs=10',
    '--horizontal-pod-autoscaler-sync-period=5s',
    '--node-monitor-period=2s',
    '--v=1',
  ];
}

export function schedulerArgs(dir: string): string[] {
  return [
    'kube-scheduler',
    `--kubeconfig=${join(dir, 'scheduler.kubeconfig')}`,
    '--leader-elect=false',
    '--secure-port=0',
    '--kube-api-qps=500',
    '--kube-api-burst=1000',
    '--v=1',
  ];
}

export function simulatedNodesArgs(dir: string, count: number): string[] {
  return ['simulated-nodes', `--kubeconfig=${join(dir, 'nodes.kubeconfig')}`, `--count=${count}`];
}
