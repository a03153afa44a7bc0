import { useRouter } from '@tanstack/react-router';
import { useDeferredValue, useEffect, useId, useRef, useState } from 'react';
import type { DeliveryState, SearchView } from '#api';
import { useView } from '../api.ts';
import { keyHelp } from '../keys.ts';
import { pathTo } from './crumbs.tsx';
import { applicationText } from './delivery-table.tsx';
import { StateMark, stateWords } from './state-mark.tsx';

interface Choice {
  readonly href: string;
  readonly title: string;
  readonly kind: string;
  readonly state?: DeliveryState;
}

const pages: readonly Choice[] = [
  { href: '/', title: 'Fleet', kind: 'page' },
  { href: '/applications', title: 'Applications', kind: 'page' },
  { href: '/clusters', title: 'Clusters', kind: 'page' },
  { href: '/changes', title: 'Changes', kind: 'page' },
  { href: '/activity', title: 'Activity', kind: 'page' },
  { href: '/activity?type=Warning', title: 'Warnings', kind: 'page' },
];

/** A modal dialog of the browser's own: it keeps the focus in and gives it back. */
function Dialog({
  label,
  onClose,
  children,
}: {
  readonly label: string;
  readonly onClose: () => void;
  readonly children: React.ReactNode;
}): React.ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (dialog.current?.open === false) dialog.current.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-label={label}
      onClose={onClose}
      onClick={(event) => {
        // The backdrop belongs to the dialog's own box.
        if (event.target === dialog.current) dialog.current.close();
      }}
    >
      <div className="dialog-body">{children}</div>
    </dialog>
  );
}

/** Goes to anything by name: pages, applications, clusters, deliveries ("web eu"), commits. */
export function Palette({ onClose }: { readonly onClose: () => void }): React.ReactNode {
  const [text, setText] = useState('');
  const [chosen, setChosen] = useState(0);
  const q = useDeferredValue(text.trim());
  const { data } = useView<SearchView>('search', { q }, { enabled: q !== '' });
  const router = useRouter();
  const id = useId();
  const choices = [
    ...pages.filter(({ title }) => q === '' || title.toLowerCase().includes(q.toLowerCase())),
    ...(q === '' ? [] : (data?.items ?? []).map(choiceOf)),
  ];
  const active = Math.min(chosen, choices.length - 1);
  const go = (choice: Choice | undefined): void => {
    if (choice === undefined) return;
    onClose();
    void router.navigate({ href: choice.href });
  };
  return (
    <Dialog label="Go to" onClose={onClose}>
      <input
        className="palette-input"
        role="combobox"
        aria-label="Go to application, cluster, delivery or commit"
        aria-expanded="true"
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        {...(active < 0 ? {} : { 'aria-activedescendant': `${id}-${active}` })}
        placeholder="Application, cluster, “web eu”, commit…"
        spellCheck={false}
        autoComplete="off"
        autoFocus
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setChosen(0);
        }}
        onKeyDown={(event) => {
          if (event.key === 'ArrowDown') setChosen(Math.min(choices.length - 1, active + 1));
          else if (event.key === 'ArrowUp') setChosen(Math.max(0, active - 1));
          else if (event.key === 'Enter') go(choices[active]);
          else return;
          event.preventDefault();
        }}
      />
      <ul className="palette-list" role="listbox" id={`${id}-list`} aria-label="Found">
        {choices.map((choice, index) => (
          <li
            key={choice.href}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === active}
            onMouseMove={() => setChosen(index)}
            onClick={() => go(choice)}
            ref={(element) => {
              if (index === active) element?.scrollIntoView({ block: 'nearest' });
            }}
          >
            {choice.state === undefined ? <span className="mark" aria-hidden="true" /> : <StateMark state={choice.state} />}
            <span className="palette-title">{choice.title}</span>
            <span className="muted">
              {choice.kind}
              {choice.state === undefined || choice.state === 'ready' ? '' : `, ${stateWords[choice.state]}`}
            </span>
          </li>
        ))}
      </ul>
      {choices.length === 0 ? <p className="muted palette-none">Nothing is named like that.</p> : null}
    </Dialog>
  );
}

function choiceOf(item: SearchView['items'][number]): Choice {
  switch (item.kind) {
    case 'application':
      return {
        href: pathTo.application(item.project, item.name),
        title: applicationText(item.project, item.name),
        kind: 'application',
        state: item.state,
      };
    case 'cluster':
      return { href: pathTo.cluster(item.name), title: item.name, kind: 'cluster', state: item.state };
    case 'delivery':
      return {
        href: pathTo.delivery(item.project, item.application, item.cluster),
        title: `${applicationText(item.project, item.application)} on ${item.cluster}`,
        kind: 'delivery',
        state: item.state,
      };
    case 'commit':
      return { href: pathTo.commit(item.commit), title: `${item.commit.slice(0, 10)} ${item.subject ?? ''}`, kind: 'commit' };
  }
}

export function KeyHelp({ onClose }: { readonly onClose: () => void }): React.ReactNode {
  return (
    <Dialog label="Keys" onClose={onClose}>
      <h2 className="help-title">Keys</h2>
      <dl className="facts help">
        {keyHelp.map(([keys, words]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button type="submit">Close</button>
      </form>
    </Dialog>
  );
}
