import type { PlaneKeys } from '#plane/keys';

/** The administrator's kubeconfig, as YAML (which JSON is). Holds the token: write it with mode 0600. */
export function adminKubeconfig(url: string, keys: PlaneKeys): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'fairlead', cluster: { server: url, 'certificate-authority-data': Buffer.from(keys.tls.ca).toString('base64') } },
    ],
    users: [{ name: 'admin', user: { token: keys.adminToken.reveal() } }],
    contexts: [{ name: 'fairlead', context: { cluster: 'fairlead', user: 'admin', namespace: 'default' } }],
    'current-context': 'fairlead',
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
