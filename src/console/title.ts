import { useEffect } from 'react';

/** Names the page in the tab, and for screen readers when the focus comes to its content. */
export function useTitle(title: string | undefined): void {
  useEffect(() => {
    document.title = title === undefined ? 'Fairlead' : `${title} · Fairlead`;
    document.getElementById('main')?.setAttribute('aria-label', title ?? 'Fairlead');
  }, [title]);
}
