import type { DesiredApplication } from '#api';
import { mapLimited } from '#base';
import type { Outcome } from '../core/messages.ts';
import { HELM_RELEASE_ANNOTATION, judgeAdoption } from './adoption.ts';
import type { ClusterPort } from './cluster-port.ts';
import { createContact } from './first-contact.ts';
import { isMarked, OWNER_LABEL } from './marks.ts';

type Planned = Extract<Outcome, { type: 'planned' }>;

const MAX_LOOKS = 100;

/**
 * Whether somebody who delivers holds objects of a content with hooks that comes for the first time (a Helm release, another
 * application, this one before its memory was lost): then it is an upgrade, or, where the adoption rule leaves them to Helm or
 * another plane, refused before any hook has run.
 */
export async function withTakeover(
  planned: Planned,
  wanted: DesiredApplication,
  owners: { readonly own: string; readonly known: (label: string) => string | undefined },
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
    if (live === null) return;
    const label = live.labels?.[OWNER_LABEL];
    if (label === undefined && live.annotations?.[HELM_RELEASE_ANNOTATION] === undefined) return;
    if (label === owners.own) {
      isTakeover ||= isMarked(live, owners.own, object.key);
      return;
    }
    const verdict = judgeAdoption(live, object.key, wanted.settings.adoption ?? 'IfUnowned', owners.known, port);
    if (verdict.kind === 'refuse') refused.push({ id: object.id, reason: verdict.reason });
    else isTakeover = true;
  });
  return { ...planned, refused, isTakeover };
}
