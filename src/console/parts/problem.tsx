import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { DeliveriesView, DeliveryCell, ProblemGroup } from '#api';
import { useList } from '../api.ts';
import { Command } from './copy.tsx';
import { applicationText, DeliveryTable } from './delivery-table.tsx';
import { PagedList } from './paged-list.tsx';
import { Says, Since } from './says.tsx';
import { StateMark, stateWords } from './state-mark.tsx';

/** Named at once; the others a click away. */
const NAMED = 6;

/** Deliveries that share a reason: the sentence, since when, who can act, one action, and which they are. */
export function Problem({
  problem,
  where,
}: {
  readonly problem: ProblemGroup;
  /** The filter of the page. */
  readonly where: string;
}): React.ReactNode {
  const [isOpen, setOpen] = useState(false);
  const named = problem.deliveries.slice(0, NAMED);
  return (
    <article className={`problem problem-${problem.state}`}>
      <p className="problem-count">
        <StateMark state={problem.state} />
        <span className="hidden">{stateWords[problem.state]}: </span>
        {problem.count === 0 ? null : problem.count.toLocaleString('en-US')}
        <span className="hidden">
          {problem.count === 0 ? 'before any delivery' : problem.count === 1 ? ' delivery' : ' deliveries'}
        </span>
      </p>
      <div className="problem-body">
        <Says problem={problem} className="problem-says" />
        {otherSentences(problem).map((sentence) => (
          <p key={sentence} className="problem-also">
            {sentence}
          </p>
        ))}
        <Since since={problem.since} actor={problem.actor} />
        <p className="problem-where">
          {problem.application === undefined ? null : (
            <Link
              className="chip"
              data-row=""
              to="/a/$project/$application"
              params={{ project: problem.application.project, application: problem.application.name }}
            >
              {applicationText(problem.application.project, problem.application.name)}
            </Link>
          )}
          {named.map((cell) => (
            <DeliveryChip key={`${cell.project}/${cell.application}/${cell.cluster}`} cell={cell} />
          ))}
          {problem.count > named.length ? (
            <button type="button" className="quiet" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
              {isOpen ? 'fewer' : `all ${problem.count.toLocaleString('en-US')}`}
            </button>
          ) : null}
        </p>
        {isOpen ? <AllOf code={problem.code} where={where} /> : null}
      </div>
      <div className="problem-action">
        <Command words={problem.action.words} command={problem.action.command} />
      </div>
    </article>
  );
}

function AllOf({ code, where }: { readonly code: string; readonly where: string }): React.ReactNode {
  const list = useList<DeliveriesView>('deliveries', { code, where, limit: '50' });
  return (
    <PagedList list={list} empty={null}>
      {(items) => <DeliveryTable cells={items} by="both" />}
    </PagedList>
  );
}

function DeliveryChip({ cell }: { readonly cell: DeliveryCell }): React.ReactNode {
  return (
    <Link
      className="chip"
      data-row=""
      to="/d/$project/$application/$cluster"
      params={{ project: cell.project, application: cell.application, cluster: cell.cluster }}
    >
      {applicationText(cell.project, cell.application)} on {cell.cluster}
    </Link>
  );
}

/** What alike deliveries say in other words (another object, another file): at most three, each once whatever the cluster. */
function otherSentences(problem: ProblemGroup): readonly string[] {
  // The cluster's name as a word of its own: "eu" is no part of "queue".
  const shape = ({ sentence, cluster }: { readonly sentence: string; readonly cluster: string }): string =>
    sentence
      .split(/([\w.-]+)/)
      .map((word) => (word === cluster ? '*' : word))
      .join('');
  const first = problem.deliveries.find((cell) => cell.sentence === problem.sentence);
  const ending = `; ${problem.next ?? ''}`;
  const seen = new Set(first === undefined ? [] : [shape(first)]);
  const others: string[] = [];
  for (const cell of problem.deliveries) {
    if (seen.has(shape(cell)) || others.length >= 3) continue;
    seen.add(shape(cell));
    // What to do next is said once, above.
    others.push(cell.sentence.endsWith(ending) ? cell.sentence.slice(0, -ending.length) : cell.sentence);
  }
  return others;
}
