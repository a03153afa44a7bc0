/** CPU and memory of other processes, from /proc: nothing has to be built into what is measured. */
import { readFileSync } from 'node:fs';

// sysconf(_SC_CLK_TCK): 100 on every Linux that Node runs on.
const TICKS_PER_SECOND = 100;

export interface Usage {
  /** User and system, all threads, since the process began. */
  readonly cpuMs: number;
  readonly rssMb: number;
  readonly peakMb: number;
}

export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The command may hold spaces and parentheses: fields are counted from the last one. 14 and 15 are utime and stime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024;
  return {
    cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND,
    rssMb: mib('VmRSS'),
    peakMb: mib('VmHWM'),
  };
}

/** Milli-CPU of a process over a span. */
export async function milliCpu(pid: number, overMs: number): Promise<number> {
  const before = usageOf(pid);
  const startedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, overMs));
  return ((usageOf(pid).cpuMs - before.cpuMs) / (performance.now() - startedAt)) * 1000;
}
