import { useRouter, type ParsedLocation } from '@tanstack/react-router';
import { useEffect } from 'react';

/** Pages of the history whose place is remembered. */
const REMEMBERED = 50;

/**
 * Keeps the place of whoever moves by keyboard: a list that is put into another order under the focus does not lose it, and
 * going back lands on the link that was followed. A page that is new begins at its top, as a page that the browser loads does.
 */
export function useFocusMemory(): void {
  const router = useRouter();
  useEffect(() => {
    /** Page of the history → address of the link that last had the focus there. */
    const places = new Map<string, string>();
    /** Where the focus belongs, until somebody takes it elsewhere. */
    let place: string | undefined;
    let page = keyOf(router.state.location);

    const take = (): void => {
      // With nothing, or with the page as a whole since it was new.
      const isFree = document.activeElement === document.body || document.activeElement?.id === 'main';
      if (place === undefined || !isFree) return;
      const link = document.querySelector<HTMLElement>(`main a[href="${CSS.escape(place)}"]`);
      link?.focus({ preventScroll: true });
    };
    const onFocus = ({ target }: FocusEvent): void => {
      const href = target instanceof Element && target.closest('main') !== null ? target.getAttribute('href') : null;
      place = href ?? undefined;
      if (href === null) return;
      places.delete(page);
      places.set(page, href);
      const [oldest] = places.keys();
      if (places.size > REMEMBERED && oldest !== undefined) places.delete(oldest);
    };
    // A click beside everything takes the focus away, and means it.
    const onPointer = ({ target }: PointerEvent): void => {
      if (target instanceof Element && target.closest('a, button, input, select, summary, [tabindex]') === null)
        place = undefined;
    };
    const stopLeaving = router.subscribe('onBeforeNavigate', () => {
      place = undefined;
    });
    const stopArriving = router.subscribe('onResolved', ({ toLocation, pathChanged }) => {
      const next = keyOf(toLocation);
      if (next === page) return;
      page = next;
      place = places.get(page);
      if (place === undefined && pathChanged) document.getElementById('main')?.focus({ preventScroll: true });
      take();
    });
    // What is remembered may only be on the page once its data is.
    const observer = new MutationObserver(take);
    const main = document.getElementById('main');
    if (main !== null) observer.observe(main, { childList: true, subtree: true });
    document.addEventListener('focusin', onFocus);
    document.addEventListener('pointerdown', onPointer);
    return () => {
      stopLeaving();
      stopArriving();
      observer.disconnect();
      document.removeEventListener('focusin', onFocus);
      document.removeEventListener('pointerdown', onPointer);
    };
  }, [router]);
}

/** A page by its place in the history: the router names entries only from the second on. */
function keyOf({ state, pathname, searchStr }: ParsedLocation): string {
  return `${state.__TSR_index} ${pathname}${searchStr}`;
}
