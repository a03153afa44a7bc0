import { Type, type Static } from 'typebox';
import { ObjectIdentity } from './wire.ts';

/**
 * Looks: a person asks for one live object, the plane answers the agent's held sync with a signed look, the agent posts what
 * it saw. Nothing of it is stored: a look and its answer are forgotten after a minute.
 */

/** From this number on an agent understands looks. */
export const LOOK_CAPABILITY = 3;

export const lookLimits = {
  /** JSON text of the live object as it is sent, bytes; what is more is cut. */
  maxManifestBytes: 256 * 1024,
  /** JSON text of what Git wants with its values hidden, bytes. */
  maxWantedBytes: 64 * 1024,
  /** The whole answer, bytes: JSON within JSON, the differences and the pointers. */
  maxAnswerBytes: 1536 * 1024,
  maxDifferences: 100,
  /** One value in a difference, characters. */
  maxValueLength: 1024,
  /** JSON pointers that say which fields are Git's. */
  maxPointers: 2000,
  maxPointerLength: 512,
  /** Of all of them, characters. */
  maxPointerTotal: 128 * 1024,
  /** Looks in one signed order. */
  maxPerOrder: 8,
} as const;

/** What is looked at. */
export const LookTarget = Type.Object({
  project: Type.String({ minLength: 1, maxLength: 253 }),
  application: Type.String({ minLength: 1, maxLength: 253 }),
  /** As the bundle names it: the namespace may be '' where only the cluster knows the scope, or the default counts. */
  object: ObjectIdentity,
});
export type LookTarget = Static<typeof LookTarget>;

export const LookRequest = Type.Object({
  ...LookTarget.properties,
  /** Random; the answer names it. */
  id: Type.String({ minLength: 1, maxLength: 64 }),
  /** Who asked first, for the agent's log: `admin/<name>`. */
  by: Type.String({ maxLength: 256 }),
});
export type LookRequest = Static<typeof LookRequest>;

/** Signed, and bound to one sync by its nonce: it can neither be made up nor played again. */
export const LookOrder = Type.Object({
  planeId: Type.String(),
  cluster: Type.String(),
  /** Of the sync that it answers. */
  nonce: Type.String(),
  looks: Type.Array(LookRequest, { maxItems: lookLimits.maxPerOrder }),
});
export type LookOrder = Static<typeof LookOrder>;

/**
 * One field. `kind` as in a comparison of wanted and live; `added`: a person's tool added it beside what Git says.
 * `verdict`: `drift` counts as drift (and is put back, or only reported); `left` belongs to a controller or another applier;
 * `ignored` is excepted by a rule of the application.
 */
export const LookDifference = Type.Object({
  path: Type.String({ maxLength: 1024 }),
  /** JSON pointer to it in the manifest, where it is there. */
  pointer: Type.Optional(Type.String({ maxLength: lookLimits.maxPointerLength })),
  kind: Type.Enum(['missing', 'changed', 'extra', 'unowned', 'added']),
  verdict: Type.Enum(['drift', 'left', 'ignored']),
  /** JSON, perhaps cut; absent where there is none. */
  want: Type.Optional(Type.String({ maxLength: lookLimits.maxValueLength + 64 })),
  live: Type.Optional(Type.String({ maxLength: lookLimits.maxValueLength + 64 })),
  /** Who wrote it, as far as the API server says. */
  manager: Type.Optional(Type.String({ maxLength: 256 })),
  at: Type.Optional(Type.String({ maxLength: 40 })),
});
export type LookDifference = Static<typeof LookDifference>;

/**
 * Why an agent does not show an object. off: its option --live-objects. unknown: nothing of that application, neither in its
 * inventory nor in the wanted bundle. forbidden: the service account may not read it. busy: too many looks. failed: the API
 * server did not answer, or does not serve the kind.
 */
export const lookRefusals = ['off', 'unknown', 'forbidden', 'busy', 'failed'] as const;
export type LookRefusal = (typeof lookRefusals)[number];

/** `POST /agent/v1/looks`, answered by 204. */
export const LookAnswer = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64 }),
  /** The object that was asked for. */
  object: ObjectIdentity,
  /** By the plane's clock as the agent knows it. */
  seenAt: Type.String({ maxLength: 40 }),
  is: Type.Enum(['live', 'absent', 'refused']),
  /** JSON of the live object: without managedFields and last-applied-configuration; of a Secret the keys only. */
  manifest: Type.Optional(Type.String({ maxLength: lookLimits.maxManifestBytes })),
  /** Something of the manifest was left out for its size. */
  isCut: Type.Optional(Type.Boolean()),
  /** JSON of what Git wants, for an object sealed to the cluster: the keys only. */
  wanted: Type.Optional(Type.String({ maxLength: lookLimits.maxWantedBytes })),
  /** JSON pointers into the manifest: these, and all below, are Git's. */
  git: Type.Optional(Type.Array(Type.String({ maxLength: lookLimits.maxPointerLength }), { maxItems: lookLimits.maxPointers })),
  /** The release it was compared with; absent: not compared, because the agent does not hold the wanted bundle yet. */
  release: Type.Optional(Type.String({ maxLength: 253 })),
  differences: Type.Optional(Type.Array(LookDifference, { maxItems: lookLimits.maxDifferences })),
  /** Differences beyond those. */
  more: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
  refusal: Type.Optional(Type.Enum([...lookRefusals])),
  /** Of the API server, redacted. */
  words: Type.Optional(Type.String({ maxLength: 1024 })),
});
export type LookAnswer = Static<typeof LookAnswer>;

/** What came of a look, as the agents room hands it to the views. */
export type LookOutcome =
  | { readonly is: 'answered'; readonly answer: LookAnswer }
  /** The agent's answer was about something else, or malformed: nothing of it is shown. */
  | { readonly is: 'wrong' }
  | { readonly is: 'silent'; readonly waitedMs: number }
  /** Not asked: no contact, an agent that cannot be asked, a plane that signs nothing. */
  | { readonly is: 'lost' }
  | { readonly is: 'old'; readonly capability: number }
  | { readonly is: 'frozen' }
  /** Too much is being asked for already, by this person or of this cluster. */
  | { readonly is: 'busy' };

export interface Look {
  readonly outcome: LookOutcome;
  /** What was seen within the last minute, where this look shows nothing. */
  readonly before: LookAnswer | undefined;
}
