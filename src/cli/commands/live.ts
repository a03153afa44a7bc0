import type { DeliveryView, LiveObjectView, ObjectIdentity, ObjectView } from '#api';
import { FairleadError } from '#base';
import type { Plane } from '../connect.ts';
import { age, printable, show, type Io, type OutputFormat } from '../output.ts';
import type { Target } from '../targets.ts';

/**
 * `fairlead live APP CLUSTER KIND/NAME`: the object as the cluster holds it, read by its agent now, the difference first. Exit
 * code 3 when it is not what Git says, 1 when it cannot be shown.
 */
export async function live(
  plane: Plane,
  io: Io,
  target: Target,
  cluster: string,
  object: string,
  output: OutputFormat,
): Promise<number> {
  const base = ['deliveries', ...[target.key.namespace, target.key.name, cluster].map(encodeURIComponent)].join('/');
  const delivery = await plane.view<DeliveryView>(base);
  const id = findObject(object, delivery);
  const { group, kind, namespace, name } = id;
  const query = { group, kind, namespace, name };
  const view = await plane.view<LiveObjectView>(`${base}/object/live`, query);
  const wanted = (await plane.view<ObjectView>(`${base}/object`, query)).wanted ?? view.wanted;
  show(io, output, {
    value: { ...view, object: id, wanted, live: view.live?.map((line) => line.text).join('\n') },
    table: () => draw(view, io.now()),
    names: () => [named(id)],
  });
  // A table has said it already.
  if (view.state === 'unavailable' && output !== 'table') io.err(`fairlead: ${printable(view.sentence)}\n`);
  if (view.state === 'unavailable') return 1;
  return view.state === 'differs' || view.state === 'absent' ? 3 : 0;
}

/** `ConfigMap/settings`, `configmap/shop/settings`, `Deployment.apps/web`: the one object of the delivery that it names. */
export function findObject(
  text: string,
  { objects, application, cluster }: Pick<DeliveryView, 'objects' | 'application' | 'cluster'>,
): ObjectIdentity {
  const [word = '', ...rest] = text.split('/');
  const name = rest.at(-1) ?? '';
  const namespace = rest.length === 2 ? rest[0] : undefined;
  const dot = word.indexOf('.');
  const kind = (dot < 0 ? word : word.slice(0, dot)).toLowerCase();
  const group = dot < 0 ? undefined : word.slice(dot + 1);
  const found = objects
    .map((row) => row.id)
    .filter(
      (id) =>
        (id.kind.toLowerCase() === kind || `${id.kind.toLowerCase()}s` === kind) &&
        id.name === name &&
        (namespace === undefined || id.namespace === namespace) &&
        (group === undefined || id.group === group),
    );
  const [first, second] = found;
  if (first !== undefined && second === undefined && rest.length <= 2) return first;
  const some = (found.length > 0 ? found : objects.map((row) => row.id)).slice(0, 5).map(named);
  throw new FairleadError(
    'FL_CLI_OBJECT',
    `"${printable(text)}" names ${found.length === 0 ? 'no object' : 'more than one object'} of ${application} on ${cluster}; write KIND/NAME or KIND.GROUP/NAMESPACE/NAME, such as ${some.join(', ')}`,
    { kind: 'invalid' },
  );
}

function named({ group, kind, namespace, name }: ObjectIdentity): string {
  return `${kind}${group === '' ? '' : `.${group}`}/${namespace === '' ? '' : `${namespace}/`}${name}`;
}

const verdicts = { drift: '', left: ' (left to them)', ignored: ' (excepted by a rule)' } as const;

/** YAML, with what is not part of the object as comments. */
function draw(view: LiveObjectView, nowMs: number): string {
  const comment = (text: string): string => `# ${printable(text)}\n`;
  const out = [comment(view.sentence)];
  if (view.seenAt !== undefined) {
    const against = view.release === undefined ? '' : `, compared with ${view.release}`;
    out.push(comment(`seen ${age(view.seenAt, nowMs)} ago${against}`));
  }
  for (const one of view.differences) {
    const who = one.manager === undefined ? '' : `  by ${one.manager}`;
    const when = one.at === undefined ? '' : `, ${age(one.at, nowMs)} ago`;
    out.push(comment(`~ ${one.path}${verdicts[one.verdict]}${who}${when}`));
    if (one.want !== undefined) out.push(comment(`    - ${one.want}`));
    if (one.live !== undefined) out.push(comment(`    + ${one.live}`));
  }
  if (view.more > 0) out.push(comment(`and ${view.more} more`));
  if (view.isCut) out.push(comment('it is large: the ends of long texts and lists are left out'));
  for (const line of view.live ?? []) out.push(`${line.text.split('\t').map(printable).join('\t')}\n`);
  return out.join('');
}
