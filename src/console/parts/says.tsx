import type { StandingProblem } from '#api';
import { Command } from './copy.tsx';
import { Age } from './time.tsx';

/** What happened, and in a line of its own what to do next, unless the action is just that: the plane says both in one sentence. */
export function Says({
  problem,
  className,
}: {
  readonly problem: Pick<StandingProblem, 'sentence' | 'next' | 'action'>;
  readonly className: string;
}): React.ReactNode {
  const { sentence, next, action } = problem;
  const ending = next === undefined ? '' : `; ${next}`;
  if (ending === '' || !sentence.endsWith(ending)) return <p className={className}>{sentence}</p>;
  return (
    <>
      <p className={className}>{sentence.slice(0, -ending.length)}</p>
      {next?.endsWith(action.command) === true ? null : <p className="next">{next}</p>}
    </>
  );
}

/** Since when, and who can act. */
export function Since({ since, actor }: Pick<StandingProblem, 'since' | 'actor'>): React.ReactNode {
  return (
    <p className="muted">
      {since === undefined ? null : (
        <>
          for <Age at={since} /> ·{' '}
        </>
      )}
      who can act: {actor}
    </p>
  );
}

/** What is the matter with the one thing that a page is about: the sentence, since when, who can act, one action. */
export function Standing({ problem }: { readonly problem: StandingProblem }): React.ReactNode {
  return (
    <>
      <Says problem={problem} className="lead" />
      <div className="act">
        <Since since={problem.since} actor={problem.actor} />
        <Command words={problem.action.words} command={problem.action.command} />
      </div>
    </>
  );
}
