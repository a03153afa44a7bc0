import { Link, useNavigate } from '@tanstack/react-router';
import { useRef, useState } from 'react';
import type { DeliveryCell } from '#api';
import { StateMark, stateWords } from './state-mark.tsx';

/**
 * Deliveries as a field of marks, worst first. One tab stop; arrow keys move, Home and End jump, Enter opens. The chosen
 * cell explains itself in words below the field.
 */
export function Grid({
  cells,
  label,
  nameOf,
}: {
  readonly cells: readonly DeliveryCell[];
  readonly label: string;
  readonly nameOf: (cell: DeliveryCell) => string;
}): React.ReactNode {
  const [chosen, setChosen] = useState(0);
  const [isFocused, setFocused] = useState(false);
  const [hovered, setHovered] = useState<DeliveryCell>();
  const field = useRef<HTMLDivElement>(null);
  const navigate = useNavigate();
  const active = Math.min(chosen, cells.length - 1);
  const shown = hovered ?? (isFocused ? cells[active] : undefined);

  function move(to: number): void {
    const bounded = Math.max(0, Math.min(cells.length - 1, to));
    setChosen(bounded);
    field.current?.querySelectorAll('a')[bounded]?.focus();
  }

  function columns(): number {
    const marks = field.current?.querySelectorAll('a');
    const top = marks?.[0]?.offsetTop;
    if (marks === undefined || top === undefined) return 1;
    return [...marks].filter((mark) => mark.offsetTop === top).length;
  }

  return (
    <div>
      <div
        ref={field}
        className="grid"
        role="group"
        aria-label={label}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
        onMouseLeave={() => setHovered(undefined)}
        onKeyDown={(event) => {
          const steps: Record<string, number> = {
            ArrowRight: active + 1,
            ArrowLeft: active - 1,
            ArrowDown: active + columns(),
            ArrowUp: active - columns(),
            Home: 0,
            End: cells.length - 1,
          };
          const to = steps[event.key];
          if (to === undefined) return;
          event.preventDefault();
          move(to);
        }}
      >
        {cells.map((cell, index) => (
          <Link
            key={`${cell.project}/${cell.application}/${cell.cluster}`}
            to="/d/$project/$application/$cluster"
            params={{ project: cell.project, application: cell.application, cluster: cell.cluster }}
            tabIndex={index === active ? 0 : -1}
            onFocus={() => setChosen(index)}
            onMouseEnter={() => setHovered(cell)}
            onKeyDown={(event) => {
              if (event.key !== ' ') return;
              event.preventDefault();
              void navigate({
                to: '/d/$project/$application/$cluster',
                params: { project: cell.project, application: cell.application, cluster: cell.cluster },
              });
            }}
            aria-label={`${nameOf(cell)}: ${stateWords[cell.state]}. ${cell.sentence}`}
          >
            <StateMark state={cell.state} size={16} />
          </Link>
        ))}
      </div>
      <p className="grid-words" aria-hidden="true">
        {shown === undefined ? ' ' : `${nameOf(shown)}: ${shown.sentence}`}
      </p>
    </div>
  );
}

/** Few clusters: one row each, with its name, so that nobody has to point at a mark to know where it is. */
export function Rows({ cells }: { readonly cells: readonly DeliveryCell[] }): React.ReactNode {
  const byCluster = new Map<string, DeliveryCell[]>();
  for (const cell of cells) byCluster.set(cell.cluster, [...(byCluster.get(cell.cluster) ?? []), cell]);
  return (
    <ul className="rows">
      {[...byCluster].map(([cluster, own]) => (
        <li key={cluster}>
          <Link className="row-name" to="/c/$cluster" params={{ cluster }}>
            {cluster}
          </Link>
          <span className="row-cells">
            {[...own]
              .sort((a, b) => a.application.localeCompare(b.application))
              .map((cell) => (
                <Link
                  key={`${cell.project}/${cell.application}`}
                  className={`tile tile-${cell.state}`}
                  to="/d/$project/$application/$cluster"
                  params={{ project: cell.project, application: cell.application, cluster: cell.cluster }}
                  title={cell.sentence}
                >
                  <StateMark state={cell.state} />
                  {cell.application}
                  <span className="hidden">: {stateWords[cell.state]}</span>
                </Link>
              ))}
          </span>
        </li>
      ))}
    </ul>
  );
}

/** The marks with their words, once per page. */
export function Legend(): React.ReactNode {
  return (
    <ul className="legend" aria-label="What the marks mean">
      {(['ready', 'progressing', 'waiting', 'drifted', 'blocked', 'failed', 'unknown'] as const).map((state) => (
        <li key={state}>
          <StateMark state={state} />
          {stateWords[state]}
        </li>
      ))}
    </ul>
  );
}
