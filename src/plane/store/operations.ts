import type { EncodedTransaction } from './encode.ts';
import type { CommitResult, Fence } from './types.ts';

/** What a store asks of its writer. */
export type Operation =
  | { readonly op: 'commit'; readonly transaction: EncodedTransaction; readonly fence: Fence | undefined }
  | { readonly op: 'effectDone'; readonly id: number }
  | { readonly op: 'effectFailed'; readonly id: number; readonly retryAtMs: number; readonly message: string }
  | { readonly op: 'acquire'; readonly name: string; readonly ttlMs: number }
  | { readonly op: 'renew'; readonly name: string; readonly token: number; readonly ttlMs: number }
  | { readonly op: 'release'; readonly name: string; readonly token: number }
  | { readonly op: 'pulses'; readonly rows: readonly { readonly kind: string; readonly key: string; readonly value: string }[] }
  /** Replicas only: what the others should see. */
  | {
      readonly op: 'posts';
      readonly rows: readonly { readonly topic: string; readonly key: string; readonly value: string | undefined }[];
    }
  /** PostgreSQL only: drops what is over the bounds of the change log. */
  | { readonly op: 'compact' }
  | { readonly op: 'sweep'; readonly digests: readonly string[]; readonly beforeMs: number }
  /** Drops what names swept blobs, of one cluster. */
  | { readonly op: 'trim'; readonly cluster: string };

/** By operation: a CommitResult; for acquire a token or when to ask again; for renew whether it is still held; for sweep how many went. */
export type OperationValue =
  | CommitResult
  | { readonly token: number }
  | { readonly retryAtMs: number }
  | { readonly held: boolean }
  | { readonly removed: number }
  | undefined;
