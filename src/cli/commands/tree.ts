import type { ApplicationView, DeliveryView, ObjectIdentity } from '#api';
import type { Plane } from '../connect.ts';
import { printable, show, type Io, type OutputFormat } from '../output.ts';
import type { Target } from '../targets.ts';

/** `fairlead tree APP [CLUSTER]`: the objects of an application on each cluster, in apply order, with what is wrong. */
export async function tree(
  plane: Plane,
  io: Io,
  target: Target,
  cluster: string | undefined,
  output: OutputFormat,
): Promise<number> {
  const base = `${encodeURIComponent(target.key.namespace)}/${encodeURIComponent(target.key.name)}`;
  const application = await plane.view<ApplicationView>(`applications/${base}`);
  const clusters = cluster === undefined ? application.deliveries.map((cell) => cell.cluster) : [cluster];
  const views: DeliveryView[] = [];
  for (const name of clusters) views.push(await plane.view<DeliveryView>(`deliveries/${base}/${encodeURIComponent(name)}`));
  show(io, output, {
    value: views,
    table: () =>
      views.length === 0
        ? `${application.project}/${application.name}: ${printable(application.sentence)}\n`
        : views.map(draw).join(''),
    names: () => views.flatMap((view) => view.objects.map((row) => `${view.cluster}:${objectName(row.id)}`)),
  });
  return 0;
}

function objectName(id: ObjectIdentity): string {
  return `${id.kind}/${id.namespace === '' ? '' : `${id.namespace}/`}${id.name}`;
}

function draw(view: DeliveryView): string {
  const out = [`${view.project}/${view.application} on ${view.cluster}  ${view.state}  ${printable(view.sentence)}\n`];
  view.objects.forEach((row, index) => {
    const branch = index === view.objects.length - 1 ? '└─' : '├─';
    const words = row.sentence === undefined ? '' : `  ${row.sentence}`;
    out.push(`${branch} ${printable(objectName(row.id))}  ${row.state}${printable(words)}\n`);
  });
  return out.join('');
}
