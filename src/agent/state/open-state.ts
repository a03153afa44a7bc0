import type { KubeClient } from '#kube';
import { AgentStore } from './agent-store.ts';
import { openDirectoryMedium } from './directory-medium.ts';
import type { Medium } from './medium.ts';
import { openSecretMedium } from './secret-medium.ts';
import { openStore } from './store.ts';

/** Where the state lies: a directory, or Secrets in the agent's namespace (a pod then needs no volume). */
export type StatePlace =
  | { readonly kind: 'directory'; readonly directory: string }
  | { readonly kind: 'secrets'; readonly namespace: string; readonly name: string };

export async function openMedium(place: StatePlace, client: KubeClient): Promise<Medium> {
  return place.kind === 'directory' ? openDirectoryMedium(place.directory) : openSecretMedium({ client, ...place });
}

export async function openState(place: StatePlace, client: KubeClient): Promise<AgentStore> {
  const medium = await openMedium(place, client);
  try {
    return new AgentStore(await openStore({ medium }), medium);
  } catch (error) {
    await medium.close();
    throw error;
  }
}
