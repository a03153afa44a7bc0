import type { QueryClient } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';

/** Whether the doorbell line is up, and when the plane was last heard of. */
export interface LiveState {
  /** undefined before the first attempt has ended. */
  readonly connected: boolean | undefined;
  readonly lastHeardMs: number;
}

/** A bell is answered this soon… */
const SOON_MS = 150;
/** …and a storm of them no more often than this: a view of the whole fleet is worth a second. */
const EVERY_MS = 1000;

let state: LiveState = { connected: undefined, lastHeardMs: Date.now() };
const listeners = new Set<() => void>();
let isListening = false;

function set(next: LiveState): void {
  state = next;
  for (const listener of listeners) listener();
}

export function useLive(): LiveState {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => state,
  );
}

/**
 * Doorbells carry no data: each one makes the views on the screen stale, and they are fetched again. After a lost line
 * everything is stale, because nobody knows what was missed.
 * Called again it does nothing: there is one line.
 */
export function listenForDoorbells(queryClient: QueryClient): void {
  if (isListening) return;
  isListening = true;
  let attempt = 0;
  let pending = false;
  let refreshedAt = 0;
  const refresh = (): void => {
    if (pending) return;
    pending = true;
    setTimeout(
      () => {
        pending = false;
        refreshedAt = Date.now();
        // A refetch that is under way began before this bell: it may have missed what rang it.
        void queryClient.invalidateQueries({ queryKey: ['view'] });
      },
      Math.max(SOON_MS, refreshedAt + EVERY_MS - Date.now()),
    );
  };
  const connect = (): void => {
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/live`);
    socket.addEventListener('open', () => {
      attempt = 0;
      set({ connected: true, lastHeardMs: Date.now() });
      refresh();
    });
    socket.addEventListener('message', () => {
      set({ connected: true, lastHeardMs: Date.now() });
      refresh();
    });
    let wasOpen = false;
    socket.addEventListener('open', () => (wasOpen = true));
    socket.addEventListener('close', () => {
      // A refused line and a plane that is away look alike here; a view tells them apart, and says when to log in again.
      if (!wasOpen) refresh();
      set({ connected: false, lastHeardMs: state.connected === true ? Date.now() : state.lastHeardMs });
      attempt += 1;
      setTimeout(connect, Math.min(15_000, 500 * 2 ** attempt) * (0.5 + Math.random() / 2));
    });
  };
  connect();
}
