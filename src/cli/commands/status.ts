import type { DeliveryCell, FleetView } from '#api';
import { FairleadError, systemClock, waitFor } from '#base';
import type { Plane } from '../connect.ts';
import { age, printable, show, table, type Io, type OutputFormat } from '../output.ts';

export interface StatusOptions {
  readonly output: OutputFormat;
  readonly project?: string;
  readonly where?: string;
  readonly wait: boolean;
  readonly timeoutMs: number;
}

/** `fairlead status`: one verdict, then everything that is not what Git says, by reason, oldest first. Returns the exit code. */
export async function status(plane: Plane, io: Io, options: StatusOptions): Promise<number> {
  const read = (): Promise<FleetView> => plane.view<FleetView>('fleet', { where: options.where, project: options.project });
  let view = await read();
  if (options.wait && !isReady(view)) {
    io.err(`waiting up to ${Math.round(options.timeoutMs / 1000)} s for every delivery: ${view.sentence}\n`);
    let said = view.sentence;
    try {
      view = await waitFor(
        'every delivery to be what Git says',
        async () => {
          const next = await read();
          if (next.sentence !== said) io.err(`${next.sentence}\n`);
          said = next.sentence;
          view = next;
          return isReady(next) ? next : undefined;
        },
        { timeoutMs: options.timeoutMs, intervalMs: 500, clock: systemClock, signal: io.signal },
      );
    } catch (error) {
      if (!(error instanceof FairleadError && error.code === 'FL_WAIT_TIMEOUT')) throw error;
    }
  }
  show(io, options.output, {
    value: view,
    table: () => verdict(view, io.now()),
    names: () => view.problems.flatMap((p) => p.deliveries.map((d) => `delivery/${d.application}.${d.cluster}`)),
  });
  return isReady(view) ? 0 : 3;
}

function isReady(view: FleetView): boolean {
  return view.counts.ready === view.counts.deliveries && !view.frozen;
}

function verdict(view: FleetView, nowMs: number): string {
  const lines = [`${view.sentence}\n`];
  for (const problem of view.problems) {
    lines.push(`\n${problem.count} × ${problem.sentence}\n`);
    lines.push(`    since ${age(problem.since, nowMs)}, who can act: ${problem.actor}\n`);
    const shown = problem.deliveries.slice(0, 10);
    const rows = shown.map((cell) => [`    ${cell.application}`, cell.cluster, cell.project, age(cell.since, nowMs)]);
    const [header = '', ...lined] = table(['    APPLICATION', 'CLUSTER', 'PROJECT', 'SINCE'], rows).trimEnd().split('\n');
    lines.push(`${header}\n`);
    const oldest = shown.find((cell) => cell.sentence === problem.sentence);
    for (const [index, line] of lined.entries()) {
      const cell = shown[index];
      lines.push(`${line}\n`);
      // One reason, but about something else than the sentence above.
      if (cell !== undefined && (oldest === undefined || aboutCluster(cell) !== aboutCluster(oldest)))
        lines.push(`        ${printable(cell.sentence)}\n`);
    }
    if (problem.count > rows.length) lines.push(`    … and ${problem.count - rows.length} more\n`);
  }
  return lines.join('');
}

/** The sentence without the name of its cluster: what a thousand clusters share is said once. */
function aboutCluster(cell: DeliveryCell): string {
  return cell.sentence.replaceAll(cell.cluster, '*');
}
