import { Link, useRouter } from '@tanstack/react-router';
import { memo, useLayoutEffect, useRef, useState } from 'react';
import type { FleetCell } from '#api';
import { pathTo } from './crumbs.tsx';
import { applicationText } from './delivery-table.tsx';
import { StateMark, stateWords } from './state-mark.tsx';

/** Width of a cell with its gap, as the style sheet has it. */
const PITCH_PX = 26;

/**
 * Clusters as a field of marks, worst first: shape and colour say the worst state, size how much of the cluster is not
 * ready. One tab stop; arrow keys move, Home and End jump, Enter opens; the chosen one explains itself in words. Cells are
 * plain links with one listener above them all: thousands of them have to cost nothing while one changes.
 */
export function Grid({ cells, label }: { readonly cells: readonly FleetCell[]; readonly label: string }): React.ReactNode {
  const [shown, setShown] = useState<string>();
  const field = useRef<HTMLDivElement>(null);
  const router = useRouter();

  function linkAt(index: number): HTMLElement | undefined {
    const link = field.current?.children[index];
    return link instanceof HTMLElement ? link : undefined;
  }

  /** The cluster that Tab comes to: the one that had the focus last, wherever it stands now. */
  const stop = useRef<string>(undefined);
  function makeStop(index: number): void {
    stop.current = cells[index]?.cluster;
    for (const other of field.current?.querySelectorAll('[tabindex="0"]') ?? []) other.setAttribute('tabindex', '-1');
    linkAt(index)?.setAttribute('tabindex', '0');
  }
  useLayoutEffect(() => {
    const at = cells.findIndex(({ cluster }) => cluster === stop.current);
    makeStop(Math.max(0, at));
    // oxlint-disable-next-line react-hooks/exhaustive-deps -- what the field shows decides, not how often it is drawn
  }, [cells]);

  function explain(target: EventTarget | null): void {
    const link = target instanceof Element ? target.closest('a') : null;
    const cell = link === null ? undefined : cells[Number(link.dataset['index'])];
    setShown(cell === undefined ? undefined : wordsOf(cell));
  }

  return (
    <div className="field">
      <div
        ref={field}
        className="grid"
        role="group"
        aria-label={`${label}; arrow keys move`}
        onFocus={(event) => {
          makeStop(Number(event.target.dataset['index']));
          explain(event.target);
        }}
        onBlur={() => setShown(undefined)}
        onMouseOver={(event) => explain(event.target)}
        onMouseLeave={() => explain(document.activeElement)}
        onClick={(event) => {
          const link = event.target instanceof Element ? event.target.closest('a') : null;
          const href = link?.getAttribute('href');
          if (href === null || href === undefined || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey)
            return;
          event.preventDefault();
          void router.navigate({ href });
        }}
        onKeyDown={(event) => {
          const at = event.target instanceof HTMLElement ? Number(event.target.dataset['index']) : Number.NaN;
          if (Number.isNaN(at)) return;
          const columns = Math.max(1, Math.floor((field.current?.clientWidth ?? 0) / PITCH_PX));
          const steps: Readonly<Record<string, number>> = {
            ArrowRight: at + 1,
            ArrowLeft: at - 1,
            ArrowDown: at + columns,
            ArrowUp: at - columns,
            Home: 0,
            End: cells.length - 1,
          };
          const to = steps[event.key];
          if (to === undefined) return;
          event.preventDefault();
          linkAt(Math.max(0, Math.min(cells.length - 1, to)))?.focus();
        }}
      >
        {cells.map((cell, index) => (
          <Cell key={cell.cluster} cell={cell} index={index} />
        ))}
      </div>
      <p className={shown === undefined ? 'grid-words' : 'grid-words grid-words-shown'} aria-hidden="true">
        {shown ?? ' '}
      </p>
    </div>
  );
}

const Cell = memo(function Cell({ cell, index }: { readonly cell: FleetCell; readonly index: number }): React.ReactNode {
  return (
    <a href={pathTo.cluster(cell.cluster)} data-index={index} tabIndex={-1} aria-label={wordsOf(cell)}>
      <StateMark state={cell.state} className={`heat-${heatOf(cell)}`} />
    </a>
  );
});

/** How much of it is not ready, in three sizes. */
function heatOf({ ready, total, state }: FleetCell): 1 | 2 | 3 {
  if (state === 'ready') return 2;
  const share = total === 0 ? 1 : (total - ready) / total;
  return share < 0.1 ? 1 : share < 0.5 ? 2 : 3;
}

function wordsOf({ cluster, state, ready, total, sentence }: FleetCell): string {
  const counts = total === 0 ? 'nothing is delivered' : `${ready} of ${total} are what Git says`;
  return `${cluster}: ${state === 'ready' ? '' : `${stateWords[state]}; `}${counts}${sentence === undefined ? '' : `. ${sentence}`}`;
}

/** Few clusters: one row each, with names, so that nobody has to point at a mark to know what it is. */
export function Rows({ cells }: { readonly cells: readonly FleetCell[] }): React.ReactNode {
  return (
    <ul className="rows">
      {cells.map((cell) => (
        <Row key={cell.cluster} cell={cell} />
      ))}
    </ul>
  );
}

const Row = memo(function Row({ cell }: { readonly cell: FleetCell }): React.ReactNode {
  const { cluster, state, total, ready, sentence, deliveries = [] } = cell;
  const others = ready - deliveries.filter((one) => one.state === 'ready').length;
  const unnamed = total - deliveries.length - others;
  return (
    <li>
      <Link className="row-name" data-row="" to="/c/$cluster" params={{ cluster }}>
        <StateMark state={state} />
        {cluster}
        <span className="hidden">: {stateWords[state]}</span>
      </Link>
      <span className="row-cells">
        {deliveries.map((one) => (
          <Link
            key={`${one.project}/${one.application}`}
            className={`tile tile-${one.state}`}
            to="/d/$project/$application/$cluster"
            params={{ project: one.project, application: one.application, cluster }}
          >
            <StateMark state={one.state} />
            {applicationText(one.project, one.application)}
            <span className="hidden">: {stateWords[one.state]}</span>
          </Link>
        ))}
        {unnamed > 0 ? <span className="muted">{unnamed} more are not</span> : null}
        {others > 0 ? (
          <span className="muted">
            {deliveries.length === 0 ? `all ${others}` : `${others} others`} {others === 1 ? 'is' : 'are'} what Git says
          </span>
        ) : null}
        {total === 0 ? <span className="muted">{sentence ?? 'nothing is delivered here'}</span> : null}
      </span>
    </li>
  );
});

/** The marks with their words, once per page. */
export function Legend(): React.ReactNode {
  return (
    <ul className="legend" aria-label="What the marks mean">
      {(['failed', 'blocked', 'drifted', 'unknown', 'waiting', 'progressing', 'ready'] as const).map((state) => (
        <li key={state}>
          <StateMark state={state} />
          {stateWords[state]}
        </li>
      ))}
    </ul>
  );
}
