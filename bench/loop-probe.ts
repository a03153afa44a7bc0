/**
 * Preloaded into the plane (`--import loop-probe.ts?FILE`): SIGUSR2 begins to measure its event loop, the next one ends it and
 * writes a line of JSON to FILE. Between measurements it costs nothing.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface LoopFigures {
  /** Delay of a timer beyond its due time, ms: grows with whatever else uses the machine. */
  readonly delay: { readonly p50: number; readonly p99: number; readonly max: number };
  /** CPU that the main thread spent between two ticks of 5 ms, ms: how long it holds the loop, whoever else uses the machine. */
  readonly turn: { readonly p50: number; readonly p99: number; readonly max: number };
}

const file = decodeURIComponent(new URL(import.meta.url).search.slice(1));
const TICK_MS = 5;
let running:
  | { readonly histogram: ReturnType<typeof monitorEventLoopDelay>; readonly timer: NodeJS.Timeout; readonly turns: number[] }
  | undefined;

function begin(): void {
  const histogram = monitorEventLoopDelay({ resolution: TICK_MS });
  histogram.enable();
  const turns: number[] = [];
  let last = process.threadCpuUsage();
  const timer = setInterval(() => {
    const spent = process.threadCpuUsage(last);
    turns.push((spent.user + spent.system) / 1000);
    last = process.threadCpuUsage();
  }, TICK_MS);
  running = { histogram, timer, turns };
}

function end({ histogram, timer, turns }: NonNullable<typeof running>): void {
  clearInterval(timer);
  histogram.disable();
  const sorted = turns.toSorted((a, b) => a - b);
  const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
  const ms = (q: number): number => Math.max(0, histogram.percentile(q) / 1e6 - TICK_MS);
  const figures: LoopFigures = {
    delay: { p50: ms(50), p99: ms(99), max: Math.max(0, histogram.max / 1e6 - TICK_MS) },
    turn: { p50: at(0.5), p99: at(0.99), max: at(1) },
  };
  writeFileSync(`${file}.new`, JSON.stringify(figures));
  renameSync(`${file}.new`, file);
}

if (file !== '') {
  process.on('SIGUSR2', () => {
    if (running === undefined) begin();
    else {
      end(running);
      running = undefined;
    }
  });
}
