import type { Clock, Log } from '#base';
import type { Impersonation, KubeClient, Limiter, RestMapper } from '#kube';

/** What everything that talks to the cluster's API server shares. */
export interface ClusterPort {
  readonly client: KubeClient;
  readonly mapper: RestMapper;
  readonly limiter: Limiter;
  readonly clock: Clock;
  readonly log: Log;
  /** Name of the cluster, for reasons. */
  readonly cluster: string;
  readonly agentNamespace: string;
  /** Throws unless this process may write now: another one may have taken over while this one was stopped. */
  mayWrite(): void;
}

/** Acting as a service account, exactly as a token of it would: user and groups. Undefined: the agent's own identity. */
export function actingAs(serviceAccount: string | undefined): Impersonation | undefined {
  if (serviceAccount === undefined) return undefined;
  const [namespace = '', name = ''] = serviceAccount.split('/');
  return {
    user: `system:serviceaccount:${namespace}:${name}`,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  };
}

export function identityName(serviceAccount: string | undefined): string {
  return serviceAccount === undefined ? 'the agent' : `service account ${serviceAccount}`;
}
