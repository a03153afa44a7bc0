import { useEffect, useState } from 'react';

/** `12s`, `4m`, `3h`, `2d`. */
export function ageText(sinceMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - sinceMs) / 1000));
  if (seconds < 90) return `${seconds}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes}m`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.round(hours / 24)}d`;
}

export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** An age that grows by itself; the exact time is its title. */
export function Age({ at, suffix = '' }: { readonly at: string | undefined; readonly suffix?: string }): React.ReactNode {
  const now = useNow();
  if (at === undefined) return null;
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {ageText(Date.parse(at), now)}
      {suffix}
    </time>
  );
}
