import { stages } from '#api';
import { compareForApply } from '#kube';
import type { Batch, PlannedObject } from './model.ts';

/** The order of application: stages, inside them waves, inside those the kinds that others refer to first. */
export function planBatches(objects: readonly PlannedObject[]): Batch[] {
  const sorted = [...objects].sort(
    (a, b) => stages.indexOf(a.stage) - stages.indexOf(b.stage) || a.wave - b.wave || compareForApply(a.id, b.id),
  );
  const batches: { stage: Batch['stage']; wave: number; keys: string[] }[] = [];
  for (const { stage, wave, key } of sorted) {
    const last = batches.at(-1);
    if (last !== undefined && last.stage === stage && last.wave === wave) last.keys.push(key);
    else batches.push({ stage, wave, keys: [key] });
  }
  return batches.map((batch, index) => {
    const before = batches[index - 1];
    // A wave means: what came before works. A webhook without its backend would refuse everything.
    const needsHealth =
      before !== undefined && (batch.stage === 'webhooks' || (before.stage === batch.stage && before.wave !== batch.wave));
    return { ...batch, needsHealth };
  });
}
