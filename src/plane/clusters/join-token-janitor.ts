import { JoinToken } from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';

/** A used token answers the same key again for a while after it expired, in case the answer was lost. */
const KEEP_MS = 3_600_000;

/** Removes join tokens that are long over. */
export const joinTokenJanitor: Controller = {
  name: 'join-tokens',
  concurrency: 1,
  wakes: [wakeOn(JoinToken, ({ type, after }) => (type === 'added' ? [after.metadata.name] : []))],
  async initial(read: Reader): Promise<readonly string[]> {
    return (await read.list(JoinToken)).items.map((token) => token.metadata.name);
  },
  async reconcile(name: string, { read, clock }: ReconcileContext): Promise<ReconcileResult> {
    const key = { namespace: '', name };
    const token = await read.get(JoinToken, key);
    if (token === undefined) return {};
    const leftMs = Date.parse(token.spec.expiresAt) + KEEP_MS - clock.now();
    return leftMs > 0 ? { againMs: leftMs } : { commit: { write: [{ op: 'delete', kind: JoinToken, key }] } };
  },
};
