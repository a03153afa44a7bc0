import { readFileSync } from 'node:fs';

/** Ticks per second in /proc, on every Linux that Node runs on. */
const TICKS = 100;

/** Processor time that a process has used, all its threads together, in ms; undefined where the system does not tell. */
export function cpuMsOf(pid: number): number | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is a name in parentheses that may hold anything; utime and stime are fields 14 and 15.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? (ticks * 1000) / TICKS : undefined;
}
