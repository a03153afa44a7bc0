import type { DiffView, ObjectIdentity } from '#api';
import type { Plane } from '../connect.ts';
import { count, printable, show, type Io, type OutputFormat } from '../output.ts';
import type { Target } from '../targets.ts';

export interface DiffOptions {
  readonly commit: string | undefined;
  /** `<at>=<ref>` each. */
  readonly files: readonly string[];
  readonly refresh: boolean;
}

/** `fairlead diff APP --commit REF --files AT=REF --refresh`: what a commit would change, per cluster, rendered by the plane. Exit code 3 when it would change something. */
export async function diff(
  plane: Plane,
  io: Io,
  target: Target,
  { commit, files, refresh }: DiffOptions,
  output: OutputFormat,
): Promise<number> {
  const view = await plane.view<DiffView>(
    `diff/${encodeURIComponent(target.key.namespace)}/${encodeURIComponent(target.key.name)}`,
    { commit, files, ...(refresh ? { refresh: 'true' } : {}) },
  );
  show(io, output, {
    value: view,
    table: () => draw(view),
    names: () => view.groups.flatMap((g) => (!isChange(g) ? [] : g.clusters.map((c) => `cluster/${c}`))),
  });
  for (const error of view.errors) io.err(`fairlead: ${printable(error)}\n`);
  if (view.errors.length > 0) return 1;
  return view.groups.some(isChange) ? 3 : 0;
}

function isChange(group: DiffView['groups'][number]): boolean {
  return group.changes.length > 0 || group.hooks.length > 0;
}

function named({ kind, namespace, name }: ObjectIdentity): string {
  // Of a hook the API server may choose the name.
  return `${kind}/${namespace === '' ? '' : `${namespace}/`}${name === '' ? '(generated name)' : name}`;
}

function draw(view: DiffView): string {
  const files = view.files.map((one) => `, ${one.at} from ${one.source} ${one.commit.slice(0, 10)}`);
  const out = [`${view.application}: ${view.commit.slice(0, 10)}${files.join('')} against ${view.against ?? 'nothing'}\n`];
  for (const group of view.groups) {
    out.push(
      `\n${group.clusters.join(', ')}: ${group.changes.length === 0 ? 'no change' : count(group.changes.length, 'object')} (${group.unchanged} unchanged)\n`,
    );
    for (const change of group.changes) {
      const mark = change.change === 'added' ? '+' : change.change === 'removed' ? '-' : '~';
      out.push(`  ${mark} ${named(change.id)}\n`);
      for (const field of change.fields) {
        if (field.before !== undefined) out.push(`      - ${printable(`${field.path}: ${field.before}`)}\n`);
        if (field.after !== undefined) out.push(`      + ${printable(`${field.path}: ${field.after}`)}\n`);
      }
    }
    for (const hook of group.hooks) out.push(`  > ${named(hook.id)} runs (${hook.events.join(', ')})\n`);
  }
  return out.join('');
}
