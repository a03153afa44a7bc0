import { useEffect, useRef, useState } from 'react';
import type { LiveDifference, LiveObjectView, ObjectView, YamlLine } from '#api';
import { useLook, type Query } from '../api.ts';
import { DataTable } from './data-table.tsx';
import { Age } from './time.tsx';

/**
 * One object in its cluster beside what Git wants: asked of the agent for this page, nothing of it is stored on the plane. While
 * that is under way, or cannot be had, what was seen last stays with its age, and what the agent reported with its names.
 */
export function LiveObject({
  path,
  query,
  cluster,
  view,
  applied,
}: {
  readonly path: string;
  readonly query: Query;
  readonly cluster: string;
  readonly view: ObjectView;
  /** Between the difference and the manifests. */
  readonly applied: React.ReactNode;
}): React.ReactNode {
  const version = [view.release, view.row.state, view.problem?.since, ...view.live.differs].join(' ');
  const { data, error, isLooking, again } = useLook<LiveObjectView>(path, query, version);
  const seen = useLastSeen(data);
  return (
    <>
      <h2>In the cluster</h2>
      <div className="look">
        <p role="status" className={data?.state === 'unavailable' || error !== undefined ? 'look-why' : 'words'}>
          {error !== undefined
            ? sentence(`the live object cannot be shown as it is now: ${error.message}`)
            : sentence(data?.sentence ?? `${view.live.sentence}; asking the agent of ${cluster} to show it`)}
        </p>
        <p className="look-again">
          {seen === undefined ? null : (
            <span className="muted">
              seen <Age at={seen.seenAt} suffix=" ago" />
              {seen.release === undefined ? '' : `, compared with ${seen.release}`}
            </span>
          )}
          <button type="button" onClick={again} aria-busy={isLooking}>
            Look again
          </button>
        </p>
      </div>
      {seen === undefined ? <Reported live={view.live} /> : <Differences seen={seen} />}
      {applied}
      <div className="beside">
        <section aria-labelledby="wanted">
          <h2 id="wanted">What Git wants</h2>
          <Wanted view={view} hidden={seen?.wanted} />
        </section>
        <section aria-labelledby="holds">
          <h2 id="holds">What the cluster holds</h2>
          <Held seen={seen} isAbsent={data?.state === 'absent'} isLooking={isLooking} />
        </section>
      </div>
    </>
  );
}

/** The newest answer that shows something. That it is gone is something, too. */
function useLastSeen(data: LiveObjectView | undefined): LiveObjectView | undefined {
  const last = useRef<LiveObjectView>(undefined);
  const shows = data?.seenAt !== undefined;
  useEffect(() => {
    if (shows) last.current = data;
  }, [data, shows]);
  return shows ? data : last.current;
}

/** What the agent reports all the time: names of fields, never content. */
function Reported({ live }: { readonly live: ObjectView['live'] }): React.ReactNode {
  if (live.differs.length === 0) return null;
  return (
    <ul className="differs">
      {live.differs.map((field) => (
        <li key={field}>
          <code>{field}</code> <span className="muted">changed by {live.manager ?? 'somebody'}</span>
        </li>
      ))}
    </ul>
  );
}

const verdicts: Readonly<Record<LiveDifference['verdict'], string>> = {
  drift: 'drift',
  left: 'left to them',
  ignored: 'excepted by a rule',
};

function Differences({ seen }: { readonly seen: LiveObjectView }): React.ReactNode {
  if (seen.differences.length === 0) return null;
  const none = (words: string): React.ReactNode => <span className="muted">{words}</span>;
  return (
    <>
      <DataTable
        label="Difference"
        rows={seen.differences}
        keyOf={(one) => one.path}
        head={{ title: 'Field', cell: (one) => one.path, look: 'mono' }}
        columns={[
          { title: 'Git says', cell: (one) => one.want ?? none('nothing'), look: 'mono' },
          {
            title: 'The cluster holds',
            cell: (one) => (one.kind === 'unowned' ? none('the same, written by somebody else') : (one.live ?? none('nothing'))),
            look: 'mono',
          },
          {
            title: 'Written by',
            cell: (one) => (
              <>
                {one.manager ?? none(one.live === undefined ? 'a removal leaves no name' : 'not known')}
                {one.at === undefined ? null : (
                  <>
                    , <Age at={one.at} suffix=" ago" />
                  </>
                )}
              </>
            ),
            look: 'words',
          },
          {
            title: 'Counts as',
            cell: (one) => <span className={`counts-${one.verdict}`}>{verdicts[one.verdict]}</span>,
            look: 'nowrap',
          },
        ]}
      />
      {seen.more === 0 ? null : <p className="muted">and {seen.more.toLocaleString('en-US')} more</p>}
    </>
  );
}

function Wanted({ view, hidden }: { readonly view: ObjectView; readonly hidden: string | undefined }): React.ReactNode {
  const manifest = view.wanted ?? hidden;
  return (
    <>
      {view.wanted !== undefined ? null : (
        <p className="muted">
          {view.row.sealed
            ? 'Its content is sealed to the cluster: the plane cannot show it, and neither can anybody who reads its database.'
            : 'Its content is not stored on this plane any more.'}
        </p>
      )}
      {manifest === undefined ? null : (
        <pre
          className="manifest"
          tabIndex={0}
          role="region"
          aria-label={view.wanted === undefined ? 'Manifest as wanted, keys only' : 'Manifest as rendered'}
        >
          {manifest}
        </pre>
      )}
    </>
  );
}

function Held({
  seen,
  isAbsent,
  isLooking,
}: {
  readonly seen: LiveObjectView | undefined;
  readonly isAbsent: boolean;
  readonly isLooking: boolean;
}): React.ReactNode {
  const [isOnlyGit, setOnlyGit] = useState(false);
  if (seen?.live === undefined) {
    return (
      <p className="muted">
        {isAbsent || seen?.state === 'absent' ? 'Nothing: it is not there.' : isLooking ? 'Asking the agent…' : 'Not shown.'}
      </p>
    );
  }
  const shown = isOnlyGit ? seen.live.filter((line) => line.isGit || line.isDrift) : seen.live;
  return (
    <>
      <p className="look-fold">
        <label>
          <input type="checkbox" checked={isOnlyGit} onChange={(event) => setOnlyGit(event.target.checked)} />
          Only fields that Git says
        </label>
        {isOnlyGit ? null : <span className="muted"> Defaults, status and what others write are dim; drift is marked.</span>}
      </p>
      {seen.isCut ? <p className="muted">It is large: the ends of long texts and lists are left out.</p> : null}
      <pre className="manifest" tabIndex={0} role="region" aria-label="Manifest in the cluster">
        {runsOf(shown).map(({ of, text, at }) =>
          of === 'git' ? (
            text
          ) : of === 'drift' ? (
            <mark key={at}>{text}</mark>
          ) : (
            <span key={at} className="of-others">
              {text}
            </span>
          ),
        )}
      </pre>
    </>
  );
}

interface Run {
  readonly of: 'git' | 'drift' | 'others';
  text: string;
  readonly at: number;
}

/** Lines that are alike, together: a manifest of thousands of lines is a few elements. */
function runsOf(lines: readonly YamlLine[]): readonly Run[] {
  const runs: Run[] = [];
  for (const [at, { text, isGit, isDrift }] of lines.entries()) {
    const of = isDrift ? 'drift' : isGit ? 'git' : 'others';
    const last = runs.at(-1);
    if (last?.of === of) last.text += `${text}\n`;
    else runs.push({ of, text: `${text}\n`, at });
  }
  return runs;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
