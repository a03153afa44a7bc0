import type { ApplicationView, DeliveryView } from '#api';
import type { Plane } from '../connect.ts';
import { printable, show, type Io, type OutputFormat } from '../output.ts';
import type { Target } from '../targets.ts';

/** `fairlead notes APP [CLUSTER]`: what the NOTES.txt of a chart says, clusters with the same notes together. Exit code 1 when there are none. */
export async function notes(
  plane: Plane,
  io: Io,
  target: Target,
  cluster: string | undefined,
  output: OutputFormat,
): Promise<number> {
  const base = `${encodeURIComponent(target.key.namespace)}/${encodeURIComponent(target.key.name)}`;
  const application = await plane.view<ApplicationView>(`applications/${base}`);
  const clusters = cluster === undefined ? application.deliveries.map((cell) => cell.cluster) : [cluster];
  const byText = new Map<string, { readonly release: string; readonly clusters: string[]; readonly notes: string }>();
  for (const name of clusters) {
    const view = await plane.view<DeliveryView>(`deliveries/${base}/${encodeURIComponent(name)}`);
    if (view.notes === undefined || view.wanted === undefined) continue;
    const { release } = view.wanted;
    const known = byText.get(`${release} ${view.notes}`);
    if (known === undefined) byText.set(`${release} ${view.notes}`, { release, clusters: [name], notes: view.notes });
    else known.clusters.push(name);
  }
  const groups = [...byText.values()];
  show(io, output, {
    value: groups,
    table: () => groups.map((group) => `${group.clusters.join(', ')} (${group.release}):\n${indented(group.notes)}`).join('\n'),
    names: () => groups.flatMap((group) => group.clusters.map((name) => `cluster/${name}`)),
  });
  if (groups.length === 0) io.err(`fairlead: ${application.project}/${application.name} has no notes for its newest release\n`);
  return groups.length === 0 ? 1 : 0;
}

/** Line by line: what a chart writes may not move the cursor, and line breaks are its own. */
function indented(text: string): string {
  return text
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => `${`  ${printable(line)}`.trimEnd()}\n`)
    .join('');
}
