import type { RetireEntry } from '#api';
import type { AppRecord } from './model.ts';

/** Whether a retirement is about what we hold, and not about an earlier application of the same name. '' where nobody knows. */
export function isAbout(retire: Pick<RetireEntry, 'uid'>, record: Pick<AppRecord, 'uid'>): boolean {
  return retire.uid === record.uid || retire.uid === '' || record.uid === '';
}
