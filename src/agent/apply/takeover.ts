import type { DesiredApplication } from '#api';
import { mapLimited } from '#base';
import type { Outcome } from '../core/model.ts';
import { HELM_RELEASE_ANNOTATION, judgeAdoption } from './adoption.ts';
import type { ClusterPort } from './cluster-port.ts';
import { createContact } from './first-contact.ts';

type Planned = Extract<Outcome, { type: 'planned' }>;

const MAX_LOOKS = 100;

/**
 * Whether a Helm release holds objects of a content with hooks that comes for the first time: then it is an upgrade, or, where
 * the adoption rule leaves them to Helm, refused before any hook has run.
 */
export async function withTakeover(
  planned: Planned,
  wanted: DesiredApplication,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<Planned> {
  const objects = planned.objects.slice(0, MAX_LOOKS);
  const contact = createContact(objects, port);
  const refused = [...planned.refused];
  let isTakeover = false;
  await mapLimited(objects, 8, async (object) => {
    const mapping = await port.mapper.mapping(object.id).catch(() => undefined);
    const live = mapping === undefined ? null : await contact(mapping, object.key, signal);
    if (live?.annotations?.[HELM_RELEASE_ANNOTATION] === undefined) return;
    const verdict = judgeAdoption(live, object.key, wanted.settings.adoption ?? 'IfUnowned', () => undefined, port);
    if (verdict.kind === 'refuse') refused.push({ id: object.id, reason: verdict.reason });
    else isTakeover = true;
  });
  return { ...planned, refused, isTakeover };
}
