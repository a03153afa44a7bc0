import { Type, type Static } from 'typebox';
import {
  Conditions,
  defineKind,
  LabelSelectorSchema,
  LocalReference,
  StoredReason,
  type ObjectOf,
  type Violation,
} from '../define-kind.ts';
import { DURATION_PATTERN, secondsOf } from '../duration.ts';
import { ageColumn, readyColumns } from './columns.ts';
import { checkReference, GitReference } from './git-repository.ts';

const Substitute = Type.Optional(
  Type.Boolean({
    default: false,
    description:
      'Whether ${cluster.name}, ${cluster.labels.<key>} and ${cluster.facts.<key>} are replaced in string values of the objects.',
  }),
);

const HelmRender = Type.Object(
  {
    releaseName: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        description:
          'Name of the Helm release; may use ${cluster.name} and ${cluster.labels.<key>}. Default: the name of the Application.',
      }),
    ),
    valueFiles: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), {
        maxItems: 100,
        description:
          'Value files, merged in this order over the values of the chart. Relative to the path, or to the repository with a / in front; below a directory of source.files, from there; may use ${cluster.name} and ${cluster.labels.<key>}.',
        'x-kubernetes-list-type': 'atomic',
      }),
    ),
    ignoreMissingValueFiles: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Whether a value file that does not exist is left out instead of being an error.',
      }),
    ),
    values: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        'x-kubernetes-preserve-unknown-fields': true,
        description:
          'Values, merged last. ${cluster.name}, ${cluster.labels.<key>} and ${cluster.facts.<key>} are replaced in strings.',
      }),
    ),
    crds: Type.Optional(
      Type.Enum(['Skip', 'Create', 'CreateReplace'], {
        default: 'Create',
        description:
          'What happens to the crds/ of the chart: left out, created where missing (as Helm does), or held like any object.',
      }),
    ),
    hookTimeout: Type.Optional(
      Type.String({
        pattern: DURATION_PATTERN,
        description:
          "How long each hook may take before it counts as failed, such as 90s, 10m or 1h: from 1s to 24h; left out, 5m, as with helm's --timeout.",
      }),
    ),
  },
  { description: 'The path is a Helm chart.' },
);

const KustomizeRender = Type.Object(
  {
    namePrefix: Type.Optional(Type.String({ maxLength: 100, description: 'Put in front of the name of every object.' })),
    nameSuffix: Type.Optional(Type.String({ maxLength: 100, description: 'Put behind the name of every object.' })),
    namespace: Type.Optional(Type.String({ maxLength: 63, description: 'Namespace of every namespaced object.' })),
    labels: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'Labels of every object; selectors are left alone.' }),
    ),
    images: Type.Optional(
      Type.Array(
        Type.Object({
          name: Type.String({ minLength: 1, maxLength: 500, description: 'Image as the manifests name it.' }),
          newName: Type.Optional(Type.String({ maxLength: 500, description: 'Name in its place.' })),
          newTag: Type.Optional(Type.String({ maxLength: 200, description: 'Tag in place of the one written.' })),
          digest: Type.Optional(Type.String({ maxLength: 200, description: 'Digest in place of the tag.' })),
        }),
        { maxItems: 200, description: 'Images to replace.', 'x-kubernetes-list-type': 'atomic' },
      ),
    ),
    components: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), {
        maxItems: 50,
        description: 'Components to add, relative to the path; may use ${cluster.name} and ${cluster.labels.<key>}.',
        'x-kubernetes-list-type': 'atomic',
      }),
    ),
    patches: Type.Optional(
      Type.Array(
        Type.Object({
          patch: Type.String({ maxLength: 65_536, description: 'Strategic merge patch or JSON patch, as YAML.' }),
          target: Type.Optional(
            Type.Record(Type.String(), Type.String(), {
              description: 'Which objects: group, version, kind, name, namespace, labelSelector, annotationSelector.',
            }),
          ),
        }),
        { maxItems: 100, description: 'Patches to apply.', 'x-kubernetes-list-type': 'atomic' },
      ),
    ),
    substitute: Substitute,
  },
  { description: 'The path is a kustomization; what is given here is added around it, as another overlay would.' },
);

export const RenderOptions = Type.Object(
  {
    manifests: Type.Optional(
      Type.Object(
        {
          recurse: Type.Optional(Type.Boolean({ default: true, description: 'Whether directories below the path are read.' })),
          substitute: Substitute,
        },
        { description: 'The path holds plain manifests.' },
      ),
    ),
    helm: Type.Optional(HelmRender),
    kustomize: Type.Optional(KustomizeRender),
  },
  {
    description:
      'How files become objects. Found from the files when left out: Chart.yaml is a Helm chart, kustomization.yaml a kustomization, anything else manifests.',
  },
);
export type RenderOptions = Static<typeof RenderOptions>;

const Target = Type.Object({
  clusterSelector: Type.Optional(LabelSelectorSchema),
  plane: Type.Optional(Type.Object({}, { description: "The plane's own API, with the rights of the Project." })),
  render: Type.Optional(RenderOptions),
});

const IgnoreRule = Type.Object({
  group: Type.Optional(Type.String({ description: 'API group; absent matches every group.' })),
  kind: Type.Optional(Type.String({ description: 'Kind; absent matches every kind.' })),
  namespace: Type.Optional(Type.String({ description: 'Namespace; absent matches every namespace.' })),
  name: Type.Optional(Type.String({ description: 'Name; absent matches every name.' })),
  jsonPointers: Type.Array(Type.String({ pattern: '^/' }), {
    minItems: 1,
    maxItems: 50,
    description: 'Fields left alone, as JSON pointers (RFC 6901).',
    'x-kubernetes-list-type': 'atomic',
  }),
});

export const DriftPolicy = Type.Object(
  {
    mode: Type.Optional(
      Type.Enum(['Correct', 'Alert'], {
        default: 'Correct',
        description: 'Correct repairs what drifted; Alert only reports it.',
      }),
    ),
    ignore: Type.Optional(
      Type.Array(IgnoreRule, {
        maxItems: 100,
        description: 'Fields whose live value is kept.',
        'x-kubernetes-list-type': 'atomic',
      }),
    ),
  },
  { description: 'What to do when an object in a cluster is no longer what Git says.' },
);
export type DriftPolicy = Static<typeof DriftPolicy>;

const removal = ['Orphan', 'Delete'] as const;

/** What a Release freezes of its Application besides the content. */
export const DeliverySettings = Type.Object({
  defaultNamespace: Type.Optional(
    Type.String({ maxLength: 63, description: 'Namespace for objects without one; created if missing, never pruned.' }),
  ),
  serviceAccountName: Type.Optional(
    Type.String({
      description:
        'Service account to apply as: "name" in defaultNamespace, or "namespace/name". Default and limit come from the Project.',
    }),
  ),
  dependsOn: Type.Optional(
    Type.Array(LocalReference, {
      maxItems: 50,
      description: 'Applications that must be healthy on the same cluster first.',
      'x-kubernetes-list-type': 'atomic',
    }),
  ),
  drift: Type.Optional(DriftPolicy),
  prune: Type.Optional(
    Type.Boolean({ default: true, description: 'Whether an object that is gone from Git is deleted from the cluster.' }),
  ),
  adoption: Type.Optional(
    Type.Enum(['Never', 'IfUnowned', 'Always'], {
      default: 'IfUnowned',
      description: 'Whether objects that already exist are taken over.',
    }),
  ),
  onTargetExit: Type.Optional(
    Type.Enum([...removal], {
      default: 'Orphan',
      description: 'What happens to the objects on a cluster that leaves the targets.',
    }),
  ),
  deletionPolicy: Type.Optional(
    Type.Enum([...removal], { default: 'Orphan', description: 'What happens to the objects when the Application is deleted.' }),
  ),
});
export type DeliverySettings = Static<typeof DeliverySettings>;

/** Files of another source, mounted beside those of the Application's own. */
export const FileSource = Type.Object({
  sourceRef: Type.Object({
    kind: Type.Enum(['GitRepository'], { description: 'Kind of the source.' }),
    name: Type.String({ minLength: 1, maxLength: 253, description: 'Name of the source, in the same project.' }),
  }),
  ref: Type.Optional(GitReference),
  path: Type.Optional(
    Type.String({ maxLength: 1024, default: '.', description: 'Directory of that source; takes no variables.' }),
  ),
  at: Type.String({
    minLength: 1,
    maxLength: 250,
    description:
      'Directory under which its files are found, such as values. It must not exist in the source of the Application. A value file named values/prod.yaml is then prod.yaml of the path.',
  }),
});
export type FileSource = Static<typeof FileSource>;

/** Why a path cannot be one of `spec.source.files`: it stays below where it starts, and means one directory. */
function faultOfPath(text: string): string | undefined {
  if (text.startsWith('/') || text.includes('\\') || text.split('/').includes('..'))
    return 'leads out of the source; write a directory below its root';
  return text.includes('${') ? 'takes no variables; they may be used in render.helm.valueFiles' : undefined;
}

function checkFiles(files: readonly FileSource[]): Violation[] {
  const violations: Violation[] = [];
  const places: string[] = [];
  for (const [index, { ref, path = '.', at }] of files.entries()) {
    const field = `spec.source.files[${index}]`;
    const refuse = (name: string, message: string): void => {
      violations.push({ field: `${field}.${name}`, reason: 'FieldValueInvalid', message });
    };
    violations.push(...checkReference(ref, `${field}.ref`));
    const pathFault = faultOfPath(path);
    if (pathFault !== undefined) refuse('path', pathFault);
    const atFault = faultOfPath(at);
    const place = plainDirectory(at);
    if (atFault !== undefined) refuse('at', atFault);
    else if (place === '') refuse('at', 'is the root of the source; name a directory, such as values');
    else if (place.split('/').some((part) => part.startsWith('.'))) refuse('at', 'has a part that begins with a dot');
    else if (places.some((other) => isWithin(other, place) || isWithin(place, other)))
      refuse('at', "is another entry's directory, or one in it; give each its own");
    places.push(place);
  }
  return violations;
}

/** `values/eu` for `./values//eu/`, '' for the root. */
export function plainDirectory(path: string): string {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

function isWithin(directory: string, path: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

const MAX_HOOK_SECONDS = 86_400;

function checkHookTimeout(render: RenderOptions | undefined, field: string): Violation[] {
  const text = render?.helm?.hookTimeout;
  const seconds = text === undefined ? 1 : (secondsOf(text) ?? 0);
  return seconds >= 1 && seconds <= MAX_HOOK_SECONDS
    ? []
    : [{ field: `${field}.helm.hookTimeout`, reason: 'FieldValueInvalid', message: 'is from 1s to 24h' }];
}

/** A chart and its version belong to a ChartRepository, a reference to a GitRepository. */
function checkSource(source: {
  readonly sourceRef: { readonly kind: string };
  readonly ref?: unknown;
  readonly chart?: string;
  readonly version?: string;
}): Violation[] {
  const isChart = source.sourceRef.kind === 'ChartRepository';
  if (isChart && source.chart === undefined)
    return [{ field: 'spec.source.chart', reason: 'FieldValueRequired', message: 'names the chart of the ChartRepository' }];
  const foreign = isChart ? (['ref'] as const) : (['chart', 'version'] as const);
  return foreign
    .filter((name) => source[name] !== undefined)
    .map((name) => ({
      field: `spec.source.${name}`,
      reason: 'FieldValueInvalid',
      message: `is not for a source of kind ${source.sourceRef.kind}; remove it`,
    }));
}

export const Application = defineKind({
  kind: 'Application',
  plural: 'applications',
  shortNames: ['app'],
  categories: ['fairlead', 'all'],
  scope: 'Namespaced',
  description: 'What to deliver: a path of a source, to which clusters, how drift is treated and what removal means.',
  spec: Type.Object({
    source: Type.Object({
      sourceRef: Type.Object({
        kind: Type.Enum(['GitRepository', 'ChartRepository'], { description: 'Kind of the source.' }),
        name: Type.String({ minLength: 1, maxLength: 253, description: 'Name of the source, in the same project.' }),
      }),
      path: Type.Optional(
        Type.String({
          maxLength: 1024,
          default: '.',
          description: 'Directory of the source; may use ${cluster.name} and ${cluster.labels.<key>}.',
        }),
      ),
      ref: Type.Optional(GitReference),
      chart: Type.Optional(
        Type.String({
          pattern: '^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$',
          maxLength: 250,
          description: 'Name of the chart, where the source is a ChartRepository.',
        }),
      ),
      version: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 100,
          description:
            'Version of the chart, or a semantic version range such as 1.2.x. Default: the highest that is no pre-release.',
        }),
      ),
      files: Type.Optional(
        Type.Array(FileSource, {
          maxItems: 10,
          description: 'Files of other sources, such as the value files of a chart that comes from a ChartRepository.',
          'x-kubernetes-list-type': 'atomic',
        }),
      ),
    }),
    targets: Type.Optional(
      Type.Array(Target, {
        maxItems: 100,
        description: 'Which clusters; the first that matches a cluster wins. Absent: none.',
        'x-kubernetes-list-type': 'atomic',
      }),
    ),
    render: Type.Optional(RenderOptions),
    suspend: Type.Optional(
      Type.Boolean({ description: 'While true no new Release is made or assigned; what is delivered is kept and healed.' }),
    ),
    ...DeliverySettings.properties,
  }),
  status: Type.Object({
    observedGeneration: Type.Optional(Type.Integer({ description: 'metadata.generation last acted on.' })),
    /** Newest Release, and the highest number ever used. */
    release: Type.Optional(
      Type.Object({
        name: Type.String({ description: 'Name of the newest Release.' }),
        number: Type.Integer({ description: 'Its number; grows by one.' }),
        commit: Type.String({ description: 'Commit it was rendered from.' }),
      }),
    ),
    /** Last commit that was looked at, whether or not it changed anything. */
    commit: Type.Optional(Type.String({ description: 'Last commit that was looked at.' })),
    files: Type.Optional(
      Type.Array(
        Type.Object({
          at: Type.String({ description: 'Directory of spec.source.files that they are under.' }),
          commit: Type.String({ description: 'Last commit that was looked at.' }),
        }),
        { description: 'The same of spec.source.files.', 'x-kubernetes-list-type': 'atomic' },
      ),
    ),
    notices: Type.Optional(
      Type.Array(StoredReason, {
        maxItems: 20,
        description: 'What is worth knowing and stops nothing, such as a dependency that is not locked.',
        'x-kubernetes-list-type': 'atomic',
      }),
    ),
    deliveries: Type.Optional(
      Type.Object({
        total: Type.Integer({ description: 'Clusters it is delivered to.' }),
        ready: Type.Integer({ description: 'Of these, those that are what Git says.' }),
      }),
    ),
    /** Objects applied by a target `plane`: id (Kind/namespace/name) for pruning. */
    plane: Type.Optional(
      Type.Object({
        release: Type.String({ description: 'Release last applied to the plane.' }),
        reason: Type.Optional(StoredReason),
        objects: Type.Array(Type.String(), {
          description: 'Objects of the plane that it holds, as Kind/namespace/name.',
          'x-kubernetes-list-type': 'atomic',
        }),
      }),
    ),
    /** Why no newer Release is made, with the arguments of the sentence: every Delivery repeats it. */
    reason: Type.Optional(StoredReason),
    conditions: Type.Optional(Conditions),
  }),
  columns: [
    ...readyColumns('Whether every delivery is what Git says.'),
    {
      name: 'Release',
      type: 'string',
      description: 'Newest Release.',
      priority: 0,
      jsonPath: '.status.release.name',
      value: (o) => o.status?.release?.name,
    },
    ageColumn,
    {
      name: 'Source',
      type: 'string',
      description: 'Source it is rendered from.',
      priority: 1,
      jsonPath: '.spec.source.sourceRef.name',
      value: (o) => o.spec.source.sourceRef.name,
    },
    {
      name: 'Commit',
      type: 'string',
      description: 'Commit of the newest Release.',
      priority: 1,
      jsonPath: '.status.release.commit',
      value: (o) => o.status?.release?.commit,
    },
  ],
  selectable: ['spec.source.sourceRef.name'],
  rules: [
    (o) => checkReference(o.spec.source.ref, 'spec.source.ref'),
    (o) => checkSource(o.spec.source),
    (o) => checkFiles(o.spec.source.files ?? []),
    (o) => [
      ...checkHookTimeout(o.spec.render, 'spec.render'),
      ...(o.spec.targets ?? []).flatMap(({ render }, index) => checkHookTimeout(render, `spec.targets[${index}].render`)),
    ],
    (o) =>
      [o.spec.render, ...(o.spec.targets ?? []).map((target) => target.render)].flatMap((render, index): Violation[] =>
        Object.keys(render ?? {}).length < 2
          ? []
          : [
              {
                field: index === 0 ? 'spec.render' : `spec.targets[${index - 1}].render`,
                reason: 'FieldValueInvalid',
                message: 'takes one of manifests, helm and kustomize',
              },
            ],
      ),
    (o) =>
      (o.spec.targets ?? []).flatMap((target, index): Violation[] => {
        const kinds = [target.clusterSelector, target.plane].filter((given) => given !== undefined).length;
        return kinds === 1
          ? []
          : [
              {
                field: `spec.targets[${index}]`,
                reason: 'FieldValueInvalid',
                message: 'takes one of clusterSelector and plane; {clusterSelector: {}} means every cluster',
              },
            ];
      }),
    (o) =>
      (o.spec.dependsOn ?? []).some((dependency) => dependency.name === o.metadata.name)
        ? [
            {
              field: 'spec.dependsOn',
              reason: 'FieldValueInvalid',
              message: `names the application ${o.metadata.name} itself; remove it`,
            },
          ]
        : [],
  ],
  example: `apiVersion: fairlead.dev/v1alpha1
kind: Application
metadata: {name: web, namespace: default}
spec:
  source: {sourceRef: {kind: GitRepository, name: fleet}, path: "apps/web/\${cluster.labels.env}"}
  targets: [{clusterSelector: {matchLabels: {env: prod}}}]
  defaultNamespace: web
  drift: {mode: Correct, ignore: [{kind: Deployment, jsonPointers: [/spec/replicas]}]}
`,
});

export type Application = ObjectOf<typeof Application>;
