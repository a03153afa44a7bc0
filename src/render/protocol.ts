import type {
  FetchedEntry,
  GroupKind,
  HelmOptions,
  HookFacts,
  KustomizeOptions,
  Listing,
  ObjectId,
  Recipient,
  RenderCluster,
  RenderError,
  Scope,
  Stage,
} from './types.ts';

/** Plane → child. The body is the bytes of the files, one after another. */
export interface ChildRequest {
  readonly id: number;
  /** Passed on to the module. */
  readonly module: ModuleRequest;
  readonly recipients: readonly Recipient[];
  readonly timeMs: number;
  readonly seed: string;
  readonly maxSealings: number;
  readonly maxOutputBytes: number;
}

/** Child → module; `request` in wasm/render.go. */
export interface ModuleRequest {
  readonly engine: string;
  readonly path: string;
  readonly helm?: HelmOptions;
  readonly kustomize?: KustomizeOptions;
  readonly remotes: readonly FetchedEntry[];
  /** Whether the answer holds what the engine itself prints; for comparing it with the real program. */
  readonly raw?: boolean;
  readonly recurse: boolean;
  readonly substitute: boolean;
  readonly cluster: RenderCluster;
  readonly defaultNamespace: string;
  readonly sensitiveKinds: readonly GroupKind[];
  readonly hasRecipients: boolean;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
}

export interface ModuleObject {
  readonly id: ObjectId;
  readonly scope: Scope;
  readonly stage: Stage;
  readonly wave: number;
  readonly source: { readonly file: string; readonly line: number };
  readonly sensitive: boolean;
  readonly bodyBytes: number;
  readonly redactedBytes: number;
  readonly keep?: boolean;
  readonly createOnly?: boolean;
  readonly hook?: HookFacts;
}

/** Module → child; `result` in wasm/render.go. */
export interface ModuleResult {
  readonly errors: readonly RenderError[];
  readonly objects: readonly ModuleObject[];
  readonly readSet: ModuleReadSet;
  readonly engine: 'manifests' | 'kustomize' | 'helm';
  readonly notes: string;
  readonly raw?: string;
  /** The small module has no such engine. */
  readonly needsFull?: boolean;
}

export interface ModuleReadSet {
  readonly files: readonly string[];
  readonly listed: readonly Listing[];
  readonly variables: readonly string[];
  readonly clock: boolean;
  readonly hasSecrets: boolean;
}

/** An object in an answer; its bytes are in the body, in the order of the objects: body, or redacted and then each sealed. */
export interface ChildObject extends Omit<ModuleObject, 'bodyBytes' | 'redactedBytes'> {
  readonly bytes: number;
  readonly sealed: readonly { readonly equality: string; readonly bytes: number }[];
}

/** Child → plane. */
export type ChildAnswer =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'rendered';
      readonly id: number;
      readonly errors: readonly RenderError[];
      readonly objects: readonly ChildObject[];
      readonly readSet: ModuleReadSet;
      readonly engine: ModuleResult['engine'];
      readonly notes: string;
      readonly randomness: boolean;
      readonly renderMs: number;
      readonly sealMs: number;
      readonly rssBytes: number;
    }
  | {
      readonly kind: 'died';
      readonly id: number;
      readonly ended: 'depth' | 'memory' | 'crash';
      readonly place?: { readonly file: string; readonly line: number };
      readonly rssBytes: number;
    }
  | { readonly kind: 'refused'; readonly id: number; readonly error: RenderError; readonly rssBytes: number };
