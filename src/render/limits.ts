/** Bounds of one render. Those inside the module are in wasm/limits.go; the reasons for all are in docs/adr/0002-renderer.md. */
export interface RenderLimits {
  /** All files of a request together. */
  readonly inputBytes: number;
  readonly files: number;
  readonly pathBytes: number;
  /** All bytes of an answer, redacted and sealed ones included. */
  readonly outputBytes: number;
  /** Secret objects × recipients: one sealing takes about a millisecond. */
  readonly sealings: number;
  /** The JSON in front of an answer: identities, places, lengths. */
  readonly headerBytes: number;
  /** Processor time of a child from a request until its answer is complete; by the clock it may take four times as long. */
  readonly deadlineMs: number;
  /** From starting a child until it is ready. */
  readonly startMs: number;
  /** Requests that wait, all projects together. */
  readonly queued: number;
  /** Renders after which a child is replaced. */
  readonly rendersPerChild: number;
  /** A child that holds more memory than this after a render is replaced. */
  readonly childBytes: number;
  /** Renders in a row that a project keeps its child while others wait for one. */
  readonly rendersPerTurn: number;
  /** A child without work ends after this. */
  readonly idleMs: number;
  /** Kills by one input after which it is refused unseen, and for how long. */
  readonly killsToQuarantine: number;
  readonly quarantineMs: number;
  /** WebAssembly pages of 64 KiB. */
  readonly memoryPages: number;
  readonly oldSpaceMiB: number;
}

export const defaultLimits: RenderLimits = {
  inputBytes: 32 * 1024 * 1024,
  files: 5_000,
  pathBytes: 4_096,
  outputBytes: 64 * 1024 * 1024,
  sealings: 5_000,
  headerBytes: 16 * 1024 * 1024,
  deadlineMs: 10_000,
  startMs: 20_000,
  queued: 256,
  rendersPerChild: 500,
  childBytes: 320 * 1024 * 1024,
  rendersPerTurn: 8,
  idleMs: 300_000,
  killsToQuarantine: 3,
  quarantineMs: 3_600_000,
  memoryPages: 4_096,
  oldSpaceMiB: 192,
};
