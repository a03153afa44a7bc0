import { comparePositions, type DesiredPosition, type DesiredState } from '#api';

/** How many former positions a plane remembers per cluster. */
export const HISTORY = 32;

/** What the plane issued to one cluster: the newest position and those before it, newest first. */
export interface Issued {
  readonly position: DesiredPosition;
  readonly history: readonly DesiredPosition[];
}

/**
 * Where an agent stands against what this plane issued.
 *
 *  new      it holds nothing: send the newest
 *  current  it holds the newest
 *  behind   it holds an earlier one of ours: send the newest
 *  unsure   what it holds is older than we remember: its proof decides
 *  foreign  it is ahead of us, or holds another document under a number of ours: this plane was restored from an older copy
 */
export type Standing = 'new' | 'current' | 'behind' | 'unsure' | 'foreign';

export function standingOf(issued: Issued | undefined, held: DesiredPosition | undefined): Standing {
  if (held === undefined) return 'new';
  if (issued === undefined) return 'foreign';
  const order = comparePositions(held, issued.position);
  if (order === 0) return held.digest === issued.position.digest ? 'current' : 'foreign';
  if (order > 0) return 'foreign';
  const same = issued.history.find((one) => comparePositions(one, held) === 0);
  if (same !== undefined) return same.digest === held.digest ? 'behind' : 'foreign';
  const oldest = issued.history.at(-1) ?? issued.position;
  // A number between two that we remember was never ours; one below all of them may have been.
  return comparePositions(held, oldest) > 0 ? 'foreign' : 'unsure';
}

/**
 * Whether a proven document shows that another history of this plane went further than ours: it names an application that
 * we do not deliver to the cluster, a higher number, or other content under the same number.
 */
export function isAhead(
  proven: Pick<DesiredState, 'applications'>,
  wanted: ReadonlyMap<string, { number: number; bundle: string }>,
): boolean {
  return proven.applications.some((application) => {
    const ours = wanted.get(`${application.project}/${application.name}`);
    if (ours === undefined || application.number > ours.number) return true;
    return application.number === ours.number && application.bundle !== ours.bundle;
  });
}

/** The position after everything issued and held: same epoch as the higher one, its sequence plus one. */
export function nextPosition(...known: readonly (Pick<DesiredPosition, 'epoch' | 'seq'> | undefined)[]): {
  epoch: number;
  seq: number;
} {
  let top = { epoch: 1, seq: 0 };
  for (const one of known) if (one !== undefined && comparePositions(one, top) > 0) top = { epoch: one.epoch, seq: one.seq };
  return { epoch: top.epoch, seq: top.seq + 1 };
}

/** The history after a new position is issued: the former newest and what else was met, newest first. */
export function remember(issued: Issued | undefined, ...met: readonly DesiredPosition[]): readonly DesiredPosition[] {
  const all = [...met, ...(issued === undefined ? [] : [issued.position, ...issued.history])];
  const unique = all.filter((one, index) => all.findIndex((other) => other.digest === one.digest) === index);
  // Two histories may share a number after a recovery: both stay known.
  return unique.sort((a, b) => comparePositions(b, a)).slice(0, HISTORY);
}
