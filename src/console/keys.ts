import { useRouter } from '@tanstack/react-router';
import { useEffect } from 'react';

/** What the console's keys do, as its help says it. */
export const keyHelp = [
  ['Ctrl K, ⌘ K', 'go to anything by name'],
  ['j, k', 'next and previous row'],
  ['Enter', 'open the row'],
  ['Esc', 'one page up'],
  ['/', 'to the filter'],
  ['?', 'these keys'],
] as const;

/**
 * Keys that hold on every page. They move the browser's own focus between links that carry `data-row`, so that Enter, screen
 * readers and the focus ring need nothing of ours. Silent while somebody types or a dialog is open.
 */
export function useKeys(open: { readonly palette: () => void; readonly help: () => void }): void {
  const router = useRouter();
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        open.palette();
        return;
      }
      if (
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        isTyping(event.target) ||
        document.querySelector('dialog[open]') !== null
      )
        return;
      switch (event.key) {
        case 'j':
          moveRow(1);
          break;
        case 'k':
          moveRow(-1);
          break;
        case 'Escape': {
          const up = document.querySelector('a[data-up]')?.getAttribute('href');
          if (up === null || up === undefined) return;
          void router.navigate({ href: up });
          break;
        }
        case '/':
          document.querySelector<HTMLInputElement>('input[name="where"]')?.focus();
          break;
        case '?':
          open.help();
          break;
        default:
          return;
      }
      event.preventDefault();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [router, open]);
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLInputElement ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement ||
    (target instanceof HTMLElement && target.isContentEditable)
  );
}

function moveRow(step: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>('main [data-row]')].filter((row) => row.offsetParent !== null);
  if (rows.length === 0) return;
  const at = rows.findIndex((row) => row === document.activeElement);
  const next = at < 0 ? (step === 1 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + step));
  rows[next]?.focus();
  rows[next]?.scrollIntoView({ block: 'nearest' });
}
