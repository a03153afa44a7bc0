import { sha256 } from '#base';
import type { RenderCluster } from './types.ts';

export type Expansion =
  | { readonly ok: true; readonly text: string; readonly used: readonly string[] }
  | { readonly ok: false; readonly message: string; readonly used: readonly string[] };

const prefix = '${cluster.';

/**
 * Replaces `${cluster.name}`, `${cluster.labels.<key>}` and, where `allowFacts`, `${cluster.facts.<key>}` in a path or a
 * value; `$${` becomes `${`; any other `$` stays. What is put in is not looked at again. Facts are not allowed in paths:
 * an agent reports them and must not choose another cluster's files.
 *
 * `used` names every variable asked for, known or not (`cluster.labels.env`), sorted. The same function exists in
 * wasm/variables.go; testdata/variables.json holds both to the same answers.
 */
export function expandVariables(template: string, cluster: RenderCluster, options: { readonly allowFacts: boolean }): Expansion {
  const used = new Set<string>();
  let out = '';
  let at = 0;
  while (at < template.length) {
    if (template.startsWith('$${', at)) {
      out += '${';
      at += 3;
    } else if (template.startsWith(prefix, at)) {
      const end = template.indexOf('}', at);
      if (end < 0) {
        const message = 'a variable starts with ${cluster. and has no closing brace; close it, or write $${ for a literal ${';
        return { ok: false, message, used: [...used].sort() };
      }
      const name = template.slice(at + 2, end);
      used.add(name);
      const found = valueOf(name, cluster, options.allowFacts);
      if (typeof found !== 'string') {
        const message = `variable \${${clip(name)}} has no value on cluster ${quote(cluster.name)}: ${found.why}; write $\${ for a literal \${`;
        return { ok: false, message, used: [...used].sort() };
      }
      out += found;
      at = end + 1;
    } else {
      const next = template.indexOf('$', at + 1);
      const end = next < 0 ? template.length : next;
      out += template.slice(at, end);
      at = end;
    }
  }
  return { ok: true, text: out, used: [...used].sort() };
}

function valueOf(name: string, cluster: RenderCluster, allowFacts: boolean): string | { readonly why: string } {
  if (name === 'cluster.name') return cluster.name;
  const label = afterPrefix(name, 'cluster.labels.');
  if (label !== undefined) return own(cluster.labels, label) ?? { why: `the cluster has no label ${quote(label)}` };
  const fact = afterPrefix(name, 'cluster.facts.');
  if (fact !== undefined && allowFacts) {
    return own(cluster.facts, fact) ?? { why: `its agent has reported no fact ${quote(fact)}` };
  }
  if (fact !== undefined) return { why: 'facts are reported by the cluster and may not choose files' };
  return { why: `there are cluster.name, cluster.labels.<key>${allowFacts ? ' and cluster.facts.<key>' : ''}` };
}

/** The value that a variable name has on a cluster, without an opinion on where it may be used. */
export function variableValue(name: string, cluster: RenderCluster): string | undefined {
  const capability = afterPrefix(name, 'capabilities.');
  if (capability !== undefined) return capabilityValue(capability, cluster);
  const found = valueOf(name, cluster, true);
  return typeof found === 'string' ? found : undefined;
}

function capabilityValue(name: string, { capabilities }: RenderCluster): string | undefined {
  if (capabilities === undefined) return undefined;
  if (name === 'kubeVersion') return capabilities.kubeVersion;
  // Not known: a chart sees what Helm assumes, which is neither this list nor none.
  if (capabilities.apis.length === 0) return undefined;
  const { all, has } = lookupOf(capabilities.apis);
  if (name === 'apis') return all;
  const api = afterPrefix(name, 'apis.');
  return api === undefined ? undefined : String(has.has(api));
}

interface Lookup {
  readonly has: ReadonlySet<string>;
  /** Digest of all of them. */
  readonly all: string;
}

/** Clusters that serve the same share one array, which is asked for by each of them at every look. */
const lookups = new WeakMap<readonly string[], Lookup>();

function lookupOf(apis: readonly string[]): Lookup {
  const known = lookups.get(apis);
  if (known !== undefined) return known;
  const made = { has: new Set(apis), all: sha256(apis.toSorted().join('\n')) };
  lookups.set(apis, made);
  return made;
}

function afterPrefix(name: string, start: string): string | undefined {
  return name.startsWith(start) ? name.slice(start.length) : undefined;
}

function own(record: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function clip(text: string): string {
  const quoted = quote(text);
  return quoted.slice(1, -1);
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
