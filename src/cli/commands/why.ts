import type { ApplicationView, ClusterView, DeliveryView } from '#api';
import { FairleadError } from '#base';
import type { Plane } from '../connect.ts';
import { age, printable, show, type Io, type OutputFormat } from '../output.ts';
import type { Target } from '../targets.ts';

/** `fairlead why APP [CLUSTER]`, `fairlead why cluster/NAME`: the one sentence, who can act, and the way so far. */
export async function why(
  plane: Plane,
  io: Io,
  target: Target,
  cluster: string | undefined,
  output: OutputFormat,
): Promise<number> {
  const { kind, key } = target;
  if (kind.kind === 'Cluster') {
    const view = await plane.view<ClusterView>(`clusters/${encodeURIComponent(key.name)}`);
    show(io, output, { value: view, table: () => whyCluster(view, io.now()), names: () => [`cluster/${view.name}`] });
    return view.state === 'ready' ? 0 : 3;
  }
  const [application, at] = kind.kind === 'Delivery' ? splitDelivery(key.name) : [key.name, cluster];
  const base = `${encodeURIComponent(key.namespace)}/${encodeURIComponent(application)}`;
  if (at === undefined) {
    const view = await plane.view<ApplicationView>(`applications/${base}`);
    show(io, output, { value: view, table: () => whyApplication(view, io.now()), names: () => [`application/${view.name}`] });
    return view.state === 'ready' ? 0 : 3;
  }
  const view = await plane.view<DeliveryView>(`deliveries/${base}/${encodeURIComponent(at)}`);
  show(io, output, { value: view, table: () => whyDelivery(view, io.now()), names: () => [`delivery/${application}.${at}`] });
  return view.state === 'ready' ? 0 : 3;
}

function splitDelivery(name: string): readonly [string, string] {
  const dot = name.indexOf('.');
  if (dot < 0)
    throw new FairleadError('FL_CLI_TARGET', `"${name}" is no delivery; its name is <application>.<cluster>`, {
      kind: 'invalid',
    });
  return [name.slice(0, dot), name.slice(dot + 1)];
}

function line(text: string): string {
  return `${printable(text)}\n`;
}

function whyApplication(view: ApplicationView, nowMs: number): string {
  const out = [line(`${view.project}/${view.name}: ${view.sentence}`)];
  if (view.problem !== undefined) out.push(line(`  since ${age(view.problem.since, nowMs)}, who can act: ${view.problem.actor}`));
  if (view.suspended) out.push(line(`  suspended: no new release is made or assigned; fairlead resume application/${view.name}`));
  const [newest] = view.releases;
  if (newest !== undefined) {
    out.push(line(`  ${newest.name}: ${newest.commit.slice(0, 10)} ${newest.subject ?? ''}`));
    for (const { at, source, path, commit, subject } of newest.files)
      out.push(line(`    with ${at}/ from ${path} of ${source}: ${commit.slice(0, 10)} ${subject ?? ''}`));
  }
  for (const notice of view.notices) out.push(line(`  note: ${notice}`));
  for (const cell of view.deliveries)
    out.push(line(`  ${cell.state === 'ready' ? 'ok ' : '-> '} ${cell.cluster}: ${cell.sentence}`));
  return out.join('');
}

function whyCluster(view: ClusterView, nowMs: number): string {
  const out = [line(`${view.name}: ${view.sentence}`)];
  if (view.lastContact !== undefined) out.push(line(`  last contact ${age(view.lastContact, nowMs)} ago`));
  for (const given of view.agentReasons) out.push(line(`  agent: ${given.sentence}`));
  for (const cell of view.deliveries)
    out.push(line(`  ${cell.state === 'ready' ? 'ok ' : '-> '} ${cell.project}/${cell.application}: ${cell.sentence}`));
  return out.join('');
}

function whyDelivery(view: DeliveryView, nowMs: number): string {
  const out = [
    line(`${view.project}/${view.application} on ${view.cluster}: ${view.sentence}`),
    line(`  since ${age(view.since, nowMs)}, who can act: ${view.actor}`),
  ];
  if (view.wanted !== undefined) {
    out.push(line(`  wanted:  ${view.wanted.release} (${(view.wanted.commit ?? '').slice(0, 10)} ${view.wanted.subject ?? ''})`));
    for (const { at, source, path, commit, subject } of view.wanted.files)
      out.push(line(`  with:    ${at}/ from ${path} of ${source} (${commit.slice(0, 10)} ${subject ?? ''})`));
  }
  if (view.applied !== undefined) out.push(line(`  applied: ${view.applied.release}, ${age(view.applied.at, nowMs)} ago`));
  for (const { commit, release, stops } of view.journeys) {
    const way = stops.map(({ word, state, at }) =>
      state === 'reached' ? `${word}${at === undefined ? '' : ` ${at.slice(11, 19)}`}` : `(${word})`,
    );
    // The release above needs no name; a commit that is not one yet does.
    out.push(
      line(`  way:     ${release === undefined && commit !== undefined ? `${commit.slice(0, 10)}: ` : ''}${way.join(' > ')}`),
    );
  }
  for (const given of view.why.slice(1)) out.push(line(`  also: ${given.sentence}`));
  for (const object of view.objects.filter((row) => row.sentence !== undefined))
    out.push(line(`  ${object.state}: ${object.sentence ?? ''}`));
  return out.join('');
}
