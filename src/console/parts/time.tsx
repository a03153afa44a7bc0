import { useSyncExternalStore } from 'react';

/** `12s`, `4m`, `3h`, `2d`. */
export function ageText(sinceMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - sinceMs) / 1000));
  if (seconds < 90) return `${seconds}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes}m`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.round(hours / 24)}d`;
}

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** One clock for every age on the page. */
function everySecond(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    for (const each of listeners) each();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** Renders again only when the words change. */
export function useAge(sinceMs: number): string {
  return useSyncExternalStore(everySecond, () => ageText(sinceMs, Date.now()));
}

/** An age that grows by itself; the exact time is its title. */
export function Age({ at, suffix = '' }: { readonly at: string | undefined; readonly suffix?: string }): React.ReactNode {
  return at === undefined ? null : <AgeOf at={at} suffix={suffix} />;
}

function AgeOf({ at, suffix }: { readonly at: string; readonly suffix: string }): React.ReactNode {
  const age = useAge(Date.parse(at));
  return (
    <time dateTime={at} title={exact(at)}>
      {age}
      {suffix}
    </time>
  );
}

/** In the reader's time zone, and as the plane writes it. */
export function exact(at: string): string {
  return `${new Date(at).toLocaleString()} (${at})`;
}

/** `14:02:11`, with the date in front unless it is today. */
export function Clock({ at }: { readonly at: string }): React.ReactNode {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString(undefined, { hour12: false });
  return (
    <time dateTime={at} title={exact(at)}>
      {isToday ? time : `${date.toLocaleDateString(undefined, { month: 'short', day: 'numeric' })} ${time}`}
    </time>
  );
}
