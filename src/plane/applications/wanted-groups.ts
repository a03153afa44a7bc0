import { posix } from 'node:path';
import { sha256 } from '#base';
import { plainDirectory, secondsOf, type Application, type RenderOptions as ApplicationRender } from '#api';
import { expandVariables, variableValue, type KustomizeOptions, type RenderCluster, type RenderOptions } from '#render';
import { ownDirectory } from './application-source.ts';
import type { FleetCluster } from './fleet.ts';
import { restOf } from './mounted-files.ts';
import { plainPath } from './render-files.ts';
import type { Targeting } from './targets.ts';

/** Clusters that are rendered from the same files in the same way; what they still may differ in are variables. */
export interface BaseGroup {
  /** sha256 over renderer version, path and options. */
  readonly base: string;
  /** Without `./` and the slash at the end; `.` for the root. */
  readonly path: string;
  readonly render: RenderOptions;
  /** Clusters, or the plane alone. */
  readonly members: readonly Member[];
}

/** One receiver of a render: a cluster, or the plane itself. */
export interface Member {
  /** Absent: the plane itself, which is no cluster and has no variables. */
  readonly cluster?: FleetCluster;
}

export type Grouping =
  | { readonly ok: true; readonly groups: readonly BaseGroup[] }
  | { readonly ok: false; readonly message: string; readonly cluster: string };

/** Groups the joined clusters (and the plane, if it is a target) by path and options. Pure. */
export function baseGroups(application: Application, targeting: Targeting, rendererVersion: string): Grouping {
  const template = application.spec.source.path ?? '.';
  const groups = new Map<string, { group: BaseGroup; members: Member[] }>();
  const add = (
    member: Member,
    options: ApplicationRender,
  ): { readonly message: string; readonly cluster: string } | undefined => {
    const cluster = variablesOf(member);
    const used = pathAndOptions(template, options, application, cluster);
    if (!used.ok) return { message: used.message, cluster: cluster.name };
    const { path, render } = used;
    const kind = member.cluster === undefined ? 'plane' : 'cluster';
    const base = sha256(
      JSON.stringify(['base 3', rendererVersion, kind, path, render, application.spec.defaultNamespace ?? null]),
    );
    const known = groups.get(base);
    if (known !== undefined) known.members.push(member);
    else {
      const members = [member];
      groups.set(base, { group: { base, path, render, members }, members });
    }
    return undefined;
  };
  for (const { cluster, render } of targeting.clusters) {
    // Nothing can be sealed to a cluster whose agent has not joined.
    if (cluster.sealingKey === undefined) continue;
    const failure = add({ cluster }, render);
    if (failure !== undefined) return { ok: false, ...failure };
  }
  if (targeting.plane !== undefined) {
    const failure = add({}, targeting.plane.render);
    if (failure !== undefined) return { ok: false, ...failure };
  }
  return { ok: true, groups: [...groups.values()].map(({ group }) => group) };
}

type Used =
  | { readonly ok: true; readonly path: string; readonly render: RenderOptions }
  | { readonly ok: false; readonly message: string };

/** Path and options as they are on one cluster: labels may choose files and names, facts only values. */
function pathAndOptions(template: string, options: ApplicationRender, application: Application, cluster: RenderCluster): Used {
  const { metadata, spec } = application;
  const own = ownDirectory(application);
  const mounts = (spec.source.files ?? []).map(({ at }) => plainDirectory(at));
  const failures: string[] = [];
  const expand = (text: string, what?: string): string => {
    const expanded = expandVariables(text, cluster, { allowFacts: false });
    if (expanded.ok) return expanded.text;
    failures.push(what === undefined ? expanded.message : `${what}: ${expanded.message}`);
    return '';
  };
  const path = inOwn(own, plainPath(expand(template)));
  const { manifests, kustomize, helm } = options;
  const engine =
    helm !== undefined ? 'helm' : kustomize !== undefined ? 'kustomize' : manifests !== undefined ? 'manifests' : 'auto';
  const hookTimeoutSeconds = helm?.hookTimeout === undefined ? undefined : secondsOf(helm.hookTimeout);
  const render: RenderOptions = {
    engine,
    recurse: manifests?.recurse ?? true,
    substitute: manifests?.substitute ?? kustomize?.substitute ?? false,
    // A chart may be found where no options are.
    ...(engine === 'helm' || engine === 'auto'
      ? {
          helm: {
            releaseName: expand(helm?.releaseName ?? metadata.name, 'releaseName'),
            valueFiles: (helm?.valueFiles ?? []).map((file) => {
              const expanded = expand(file, 'valueFiles');
              const name = expanded.replace(/^\/+/, '');
              // Below a directory of spec.source.files it is a file of that source, wherever the path is.
              const isMounted = mounts.some((at) => restOf(at, posix.join(name)) !== undefined);
              return isMounted ? posix.join(name) : posix.join(expanded.startsWith('/') ? own || '.' : path, name);
            }),
            ignoreMissingValueFiles: helm?.ignoreMissingValueFiles ?? false,
            values: helm?.values ?? {},
            crds: helm?.crds ?? 'Create',
            ...(hookTimeoutSeconds === undefined ? {} : { hookTimeoutSeconds }),
          },
        }
      : {}),
    ...(kustomize === undefined ? {} : { kustomize: kustomizeOn(kustomize, expand) }),
  };
  const [failure] = failures;
  return failure === undefined ? { ok: true, path, render } : { ok: false, message: failure };
}

/** A path of the own source where that has a directory of its own; one that leads out of it stays as it is, to be refused. */
function inOwn(own: string, path: string): string {
  return own === '' || path === '..' || path.startsWith('../') || path.startsWith('/') ? path : plainPath(posix.join(own, path));
}

function kustomizeOn(
  { substitute: _substitute, ...options }: NonNullable<ApplicationRender['kustomize']>,
  expand: (text: string, what: string) => string,
): KustomizeOptions {
  const { namePrefix, nameSuffix, namespace, components } = options;
  return {
    ...options,
    ...(namePrefix === undefined ? {} : { namePrefix: expand(namePrefix, 'namePrefix') }),
    ...(nameSuffix === undefined ? {} : { nameSuffix: expand(nameSuffix, 'nameSuffix') }),
    ...(namespace === undefined ? {} : { namespace: expand(namespace, 'namespace') }),
    ...(components === undefined ? {} : { components: components.map((one) => expand(one, 'components')) }),
  };
}

/** What variables are on the plane itself: none. */
export const planeVariables: RenderCluster = { name: 'the plane', labels: {}, facts: {} };

export function variablesOf({ cluster }: Member): RenderCluster {
  if (cluster === undefined) return planeVariables;
  const { name, labels, facts, apis } = cluster;
  const kubeVersion = facts['kubernetesVersion'];
  if (kubeVersion === undefined && apis === undefined) return { name, labels, facts };
  return { name, labels, facts, capabilities: { kubeVersion: kubeVersion ?? '', apis: apis ?? [] } };
}

/** Names of the variables that any of the files mentions: more than a render will ask for, never less. Pure. */
export function mentionedVariables(files: Iterable<Uint8Array>): readonly string[] {
  const found = new Set<string>();
  for (const bytes of files) {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = text.indexOf('${cluster.'); at >= 0; at = text.indexOf('${cluster.', at + 1)) {
      const end = text.indexOf('}', at);
      // Without an end it is an error of the render, the same for everybody.
      if (end < 0) break;
      found.add(text.toString('utf8', at + 2, end));
    }
  }
  return [...found].sort();
}

/** The cluster as a render may see it: only what its files mention, so that nothing else can have an influence. */
export function narrowed(cluster: RenderCluster, mentioned: readonly string[]): RenderCluster {
  const pick = (from: Readonly<Record<string, string>>, prefix: string): Record<string, string> => {
    const picked: Record<string, string> = {};
    for (const name of mentioned) {
      const key = name.startsWith(prefix) ? name.slice(prefix.length) : undefined;
      const value = key !== undefined && Object.hasOwn(from, key) ? from[key] : undefined;
      if (key !== undefined && value !== undefined) picked[key] = value;
    }
    return picked;
  };
  return {
    name: cluster.name,
    labels: pick(cluster.labels, 'cluster.labels.'),
    facts: pick(cluster.facts, 'cluster.facts.'),
    // What a chart asks of them is only known once it has asked: see renderMembers.
    ...(cluster.capabilities === undefined ? {} : { capabilities: cluster.capabilities }),
  };
}

/** Equal for two clusters exactly when the mentioned variables have equal values on both. */
export function valuesKey(cluster: RenderCluster, mentioned: readonly string[]): string {
  const seen = narrowed(cluster, mentioned);
  const name = mentioned.includes('cluster.name') ? seen.name : '';
  const pairs = (record: Readonly<Record<string, string>>): (readonly [string, string])[] =>
    Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  const capabilities = mentioned.filter(isCapability).map((one) => [one, variableValue(one, cluster) ?? null] as const);
  return sha256(JSON.stringify(['values 2', name, pairs(seen.labels), pairs(seen.facts), capabilities]));
}

export function isCapability(variable: string): boolean {
  return variable.startsWith('capabilities.');
}
