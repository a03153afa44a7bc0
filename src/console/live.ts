import type { QueryClient } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';

/** Whether the doorbell line is up, and when the plane was last heard of. */
export interface LiveState {
  /** undefined before the first attempt has ended. */
  readonly connected: boolean | undefined;
  readonly lastHeardMs: number;
}

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
  const refresh = (): void => {
    if (pending) return;
    pending = true;
    setTimeout(() => {
      pending = false;
      void queryClient.invalidateQueries({ queryKey: ['view'] });
    }, 150);
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
    socket.addEventListener('close', () => {
      set({ connected: false, lastHeardMs: state.lastHeardMs });
      attempt += 1;
      setTimeout(connect, Math.min(15_000, 500 * 2 ** attempt) * (0.5 + Math.random() / 2));
    });
  };
  connect();
}
