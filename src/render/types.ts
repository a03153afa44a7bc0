/** What `${cluster.…}` can refer to: labels belong to the plane, facts are what the cluster's agent reported. */
export interface RenderCluster {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
  /** What a chart may ask of the cluster. Absent: what Helm assumes of a cluster that it does not know. */
  readonly capabilities?: ClusterCapabilities;
}

export interface ClusterCapabilities {
  /** `v1.36.3` */
  readonly kubeVersion: string;
  /** `apps/v1` and `apps/v1/Deployment`. Empty: not known. */
  readonly apis: readonly string[];
}

/** Who may read the secrets of a render: each Secret is sealed once for every recipient. */
export interface Recipient {
  readonly cluster: string;
  /** The cluster's registered sealing key, `age1…` (X25519). */
  readonly ageRecipient: string;
  /** Hex; key of the HMAC by which two sealed objects are known to be equal. */
  readonly equalityKey: string;
}

export interface HelmOptions {
  readonly releaseName: string;
  /** Paths in the file set, in the order in which they are merged over the chart's values. */
  readonly valueFiles: readonly string[];
  /** Whether a value file that is not there is left out, and no error. */
  readonly ignoreMissingValueFiles: boolean;
  /** Merged last. Variables in its strings are replaced. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Of the chart's crds/. */
  readonly crds: 'Skip' | 'Create' | 'CreateReplace';
  /** How long each hook may take. Absent: 300, Helm's own. */
  readonly hookTimeoutSeconds?: number;
}

/** Added around the kustomization, as another overlay would. */
export interface KustomizeOptions {
  readonly namePrefix?: string;
  readonly nameSuffix?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly images?: readonly unknown[];
  /** Directories, relative to the path. */
  readonly components?: readonly string[];
  readonly patches?: readonly unknown[];
}

export interface RenderOptions {
  /** `auto`: Chart.yaml in the path → helm, a kustomization → kustomize, anything else → manifests. */
  readonly engine: 'auto' | 'manifests' | 'kustomize' | 'helm';
  /** Of manifests: whether directories below count. */
  readonly recurse: boolean;
  /** Whether `${cluster.…}` is substituted inside the objects. */
  readonly substitute: boolean;
  readonly helm?: HelmOptions;
  readonly kustomize?: KustomizeOptions;
}

/** Something that was fetched before: an entry as a kustomization writes it, and the directory of the file set that holds it. */
export interface FetchedEntry {
  readonly entry: string;
  readonly directory: string;
}

export interface GroupKind {
  readonly group: string;
  readonly kind: string;
}

export interface RenderRequest {
  readonly project: string;
  readonly application: string;
  readonly cluster: RenderCluster;
  /** Path in the repository with `/` → bytes, already read from Git; links resolved or left out by the reader. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** The application's directory among the files; absent: their root. Engines may read files outside of it. */
  readonly path?: string;
  readonly fetched?: readonly FetchedEntry[];
  readonly render: RenderOptions;
  /** For namespaced objects that name no namespace. */
  readonly defaultNamespace?: string;
  /** The renderer's clock stands at the commit's time. */
  readonly commitTimeMs: number;
  /** Hex; where the renderer's randomness comes from. A secret of the plane, made per delivery. */
  readonly seed: string;
  readonly recipients: readonly Recipient[];
  /** Kinds that are sealed like core/v1 Secret; redacted, they show nothing but their metadata. */
  readonly sensitiveKinds?: readonly GroupKind[];
}

export interface ObjectId {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly namespace: string;
  /** '' only of a hook whose name the API server generates. */
  readonly name: string;
}

/** The order in which an agent applies: see architecture.md, Applying. */
export type Stage = 'crds' | 'namespaces' | 'config' | 'workloads' | 'rest' | 'webhooks';

/** `unknown`: neither built in nor declared by a CRD of the same bundle; its namespace is as written. */
export type Scope = 'Namespaced' | 'Cluster' | 'unknown';

interface ObjectFacts {
  readonly id: ObjectId;
  readonly scope: Scope;
  readonly stage: Stage;
  /** Annotation `fairlead.dev/wave`, from -1000 to 1000. */
  readonly wave: number;
  readonly source: { readonly file: string; readonly line: number };
  /** Never to be deleted (`helm.sh/resource-policy: keep`). */
  readonly keep?: boolean;
  /** To be made where it is missing and then left alone. */
  readonly createOnly?: boolean;
}

export interface HookFacts {
  readonly events: readonly HookEvent[];
  readonly weight: number;
  readonly deletePolicies: readonly HookDeletePolicy[];
  readonly timeoutSeconds: number;
}
export type HookEvent = 'pre-install' | 'post-install' | 'pre-upgrade' | 'post-upgrade' | 'pre-delete' | 'post-delete';
export type HookDeletePolicy = 'before-hook-creation' | 'hook-succeeded' | 'hook-failed';

export interface ClearObject extends ObjectFacts {
  readonly sensitive: false;
  /** Canonical JSON, made by the renderer. Hash it, store it, send it; never parse and print it again. */
  readonly body: Uint8Array;
}

export interface SealedObject extends ObjectFacts {
  readonly sensitive: true;
  /** Canonical JSON in which every secret value is `[redacted]`. */
  readonly redactedBody: Uint8Array;
  readonly sealed: readonly SealedBody[];
}

export interface SealedBody {
  readonly cluster: string;
  /** Hex HMAC-SHA256 of the clear canonical bytes under the recipient's equality key. */
  readonly equality: string;
  /** The clear canonical bytes, age-encrypted to the recipient. */
  readonly bytes: Uint8Array;
}

export type RenderedObject = ClearObject | SealedObject;
/** Runs once per (release, event) instead of being held. */
export type RenderedHook = RenderedObject & { readonly hook: HookFacts };

/** Which names an engine looked for: a new file of such a name changes the render. */
export interface Listing {
  /** `.` is the root of the files. */
  readonly directory: string;
  /** `''` is every name. */
  readonly suffixes: readonly string[];
  readonly names: readonly string[];
  readonly recurse: boolean;
}

/** What a render looked at; with it `cacheKey` says whether another request would render the same. */
export interface ReadSet {
  readonly files: readonly string[];
  readonly listed: readonly Listing[];
  /**
   * `cluster.name`, `cluster.labels.<key>`, `cluster.facts.<key>`; of capabilities `capabilities.kubeVersion`,
   * `capabilities.apis` (all of them) and `capabilities.apis.<version>` (whether there is that one). Sorted.
   */
  readonly variables: readonly string[];
  /** Whether the seed had an influence. */
  readonly randomness: boolean;
  /** Whether the commit's time had an influence. */
  readonly clock: boolean;
  /** Whether there is anything sealed, so that the recipients had an influence. */
  readonly hasSecrets: boolean;
}

export type RenderErrorCode =
  | 'FL_RENDER_INVALID'
  | 'FL_RENDER_SYNTAX'
  | 'FL_RENDER_LIMIT'
  | 'FL_RENDER_VARIABLE'
  | 'FL_RENDER_ENGINE'
  | 'FL_RENDER_NO_RECIPIENT'
  | 'FL_RENDER_REQUEST'
  | 'FL_RENDER_DEADLINE'
  | 'FL_RENDER_MEMORY'
  | 'FL_RENDER_CRASHED'
  | 'FL_RENDER_QUARANTINED'
  | 'FL_RENDER_BUSY'
  | 'FL_RENDER_CANCELLED'
  | 'FL_RENDER_UNAVAILABLE'
  | 'FL_RENDER_INTERNAL';

/** One thing wrong, at a place a person can go to. Never holds a secret value. */
export interface RenderError {
  readonly code: RenderErrorCode;
  /** `duplicate-key`, `depth`, `label-form`…: stable, listed in docs/adr/0002-renderer.md. */
  readonly rule: string;
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
  /** `Deployment.apps shop/web`. */
  readonly object?: string;
  readonly limit?: number;
  readonly value?: number | string;
}

export interface RenderTimings {
  /** Waiting for a child, then the child's start if it had to be started. */
  readonly queuedMs: number;
  /** Inside the module. */
  readonly renderMs: number;
  readonly sealMs: number;
  /** From the request reaching a child to its answer. */
  readonly totalMs: number;
}

export type RenderResult =
  | {
      readonly ok: true;
      /** In the order of application: stage, wave, group, kind, namespace, name. */
      readonly objects: readonly RenderedObject[];
      /** In the order of weight, then name. */
      readonly hooks: readonly RenderedHook[];
      readonly engine: 'manifests' | 'kustomize' | 'helm';
      /** A chart's NOTES.txt, or ''; what the chart also puts into Secrets is `[redacted]` in it. */
      readonly notes: string;
      readonly readSet: ReadSet;
      readonly rendererVersion: string;
      readonly timings: RenderTimings;
    }
  | {
      readonly ok: false;
      /** At least one, at most 21. */
      readonly errors: readonly RenderError[];
      /** Whether the same request may succeed later without anybody changing anything. */
      readonly retryable: boolean;
      readonly retryAfterMs?: number;
      /** Given where the input itself is at fault: the verdict may be cached like a render. */
      readonly readSet?: ReadSet;
      readonly rendererVersion: string;
    };
