import type { Operation, OperationValue } from '../operations.ts';
import type { PlainError } from './sqlite-errors.ts';

/** What the store's main thread and its writer thread say to each other. */

export interface WriterOptions {
  readonly path: string;
  readonly instanceId: string;
  /** Highest revision that any copy of this database may have given out, from outside the database; 0 for none. */
  readonly floor: number;
  /** Revisions must stay below this number until a `limit` message raises it. */
  readonly limit: number;
  readonly logMaxBytes: number;
  readonly logMaxAgeMs: number;
  readonly kinds: readonly { readonly kind: string; readonly selectable: readonly string[] }[];
  readonly nowMs: number;
}

export interface WriterState {
  readonly instanceId: string;
  readonly revision: number;
  readonly oldest: number;
  readonly gaps: readonly { readonly from: number; readonly to: number }[];
}

export type Outcome = { readonly ok: true; readonly value: OperationValue } | { readonly ok: false; readonly error: PlainError };

export interface Request {
  readonly id: number;
  readonly nowMs: number;
  readonly operation: Operation;
}

/** One thread may serve several databases (tests open many); `store` says which. */
export type ToWriter = { readonly store: number } & (
  | { readonly type: 'open'; readonly options: WriterOptions }
  | { readonly type: 'requests'; readonly requests: readonly Request[] }
  | { readonly type: 'limit'; readonly limit: number }
  | { readonly type: 'close' }
);

/** After one group: its outcomes, and where the log stands. */
export interface GroupDone {
  readonly type: 'done';
  readonly ids: readonly number[];
  readonly outcomes: readonly Outcome[];
  readonly revision: number;
  readonly oldest: number;
  /** Kinds with a change in this group. */
  readonly kinds: readonly string[];
}

export type WriterEvent =
  | { readonly type: 'ready'; readonly state: WriterState }
  | { readonly type: 'failed'; readonly error: PlainError }
  | { readonly type: 'compacted'; readonly oldest: number }
  | { readonly type: 'closed' }
  | GroupDone;

export interface FromWriter {
  readonly store: number;
  readonly event: WriterEvent;
}
