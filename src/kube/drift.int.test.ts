import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hasStatus } from './errors.ts';
import { newUid, seededRng, waitFor, type Rng } from '#base';
import { sharedCluster, uniqueNamespace, type ClusterHandle, type UniqueNamespace } from '#testbed';
import { applyObject, getObject } from './apply.ts';
import type { ResourceMapping } from './discovery.ts';
import { differsFromWanted } from './drift.ts';
import { bytesOf, connectTo, type ClusterUnderTest } from './kube.testing.ts';
import { formatFieldSet, parseFieldSet, removeFromSet } from './field-set.ts';
import { isApplyOf } from './managed-fields.ts';
import { deepEqual, getIn, gvkOf, idOf, type KubeObject } from './objects.ts';
import { removePointer } from './pointers.ts';

/**
 * The API server itself is the oracle: `differsFromWanted` finds something exactly when a forced server-side apply of the
 * wanted object, as a dry run, would change the object or what we own of it. Known exception: the order of keyed lists.
 */
let cluster: ClusterHandle;
let under: ClusterUnderTest;
let namespace: UniqueNamespace;

const GROUP = `d${newUid().slice(0, 8)}.example.org`;

before(async () => {
  cluster = await sharedCluster('b');
  under = await connectTo(cluster);
  namespace = await uniqueNamespace(cluster, 'kube-drift');
  await cluster.apply(JSON.stringify(gadgets()));
  await waitFor('the gadgets', async () => (await cluster.request('GET', `/apis/${GROUP}/v1/gadgets`)).status === 200, {
    timeoutMs: 20_000,
  });
});

after(async () => {
  await cluster.request('DELETE', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.${GROUP}`);
  under[Symbol.dispose]();
  await namespace[Symbol.asyncDispose]();
});

/** A kind with every sort of list and map the API server knows, and with defaults in them. */
function gadgets(): object {
  const text = { type: 'string' };
  const named = {
    type: 'object',
    required: ['name'],
    properties: { name: text, zone: { ...text, default: 'z' }, size: { 'x-kubernetes-int-or-string': true } },
  };
  const spec = {
    type: 'object',
    properties: {
      plain: { type: 'array', items: named },
      keyed: { type: 'array', items: named, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name', 'zone'] },
      tags: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
      ref: { type: 'object', properties: { name: text, kind: { ...text, default: 'Thing' } }, 'x-kubernetes-map-type': 'atomic' },
      loose: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      flags: { type: 'object', additionalProperties: { type: 'boolean' } },
      limits: { type: 'object', additionalProperties: { 'x-kubernetes-int-or-string': true } },
      mode: { ...text, default: 'auto' },
      ratio: { type: 'number' },
    },
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `gadgets.${GROUP}` },
    spec: {
      group: GROUP,
      names: { plural: 'gadgets', singular: 'gadget', kind: 'Gadget' },
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: 'object', properties: { spec } } },
        },
      ],
    },
  };
}

const SEED = Number(process.env['FAIRLEAD_SEED'] ?? 1);
const ROUNDS = Number(process.env['FAIRLEAD_ROUNDS'] ?? 25);

type Make = (rng: Rng, name: string) => KubeObject;

function pick<T>(rng: Rng, ...from: readonly T[]): T {
  return from[Math.floor(rng() * from.length)] as T;
}

/** The fields for which the coin falls well. */
function some(rng: Rng, fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(() => rng() < 0.6));
}

function meta(rng: Rng, name: string): KubeObject['metadata'] {
  const maps = some(rng, {
    labels: some(rng, { a: pick(rng, '1', '2'), 'app.kubernetes.io/name': name }),
    annotations: some(rng, { note: pick(rng, 'x', ''), 'b/c': '1000m' }),
  });
  return { name, namespace: namespace.name, ...maps };
}

function container(rng: Rng, name: string): object {
  return {
    name,
    image: pick(rng, 'a:1', 'a:2'),
    ...some(rng, {
      env: [
        { name: 'A', value: pick(rng, '', '1') },
        { name: 'B', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      ].filter(() => rng() < 0.7),
      args: [pick(rng, '-v', '-q'), 'x'],
      ports: [{ containerPort: 80 }, { containerPort: 53, protocol: 'UDP' }, { name: 'dns', containerPort: 53 }].filter(
        () => rng() < 0.7,
      ),
      resources: some(rng, {
        limits: { cpu: pick<unknown>(rng, '1000m', '0.5', 1), memory: pick(rng, '1Gi', '1024Mi') },
        requests: { cpu: '100m' },
      }),
      volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
      securityContext: some(rng, { privileged: false, capabilities: { drop: ['ALL'] }, runAsUser: 0 }),
      readinessProbe: { httpGet: { port: pick<unknown>(rng, 80, 'http') } },
    }),
  };
}

const makers: Readonly<Record<string, Make>> = {
  ConfigMap: (rng, name) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: meta(rng, name),
    ...some(rng, { data: some(rng, { a: pick(rng, '1', '1000m', ''), b: '2' }) }),
  }),
  Service: (rng, name) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta(rng, name),
    spec: {
      ports: [
        { name: 'web', port: 80, ...some(rng, { targetPort: pick<unknown>(rng, 8080, 'http'), protocol: 'TCP' }) },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ].slice(0, pick(rng, 1, 2)),
      ...some(rng, {
        selector: some(rng, { app: pick(rng, 'a', 'b') }),
        sessionAffinity: 'None',
        publishNotReadyAddresses: false,
      }),
    },
  }),
  NetworkPolicy: (rng, name) => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: meta(rng, name),
    spec: {
      podSelector: pick(rng, {}, { matchLabels: { a: 'b' } }),
      ...some(rng, {
        ingress: [
          {
            ports: [{ port: pick(rng, 80, 81) }],
            from: [pick<object>(rng, { podSelector: {} }, { namespaceSelector: { matchLabels: { x: 'y' } } })],
          },
        ],
        policyTypes: ['Ingress'],
      }),
    },
  }),
  Deployment: (rng, name) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: meta(rng, name),
    spec: {
      selector: { matchLabels: { app: name } },
      ...some(rng, {
        replicas: 0,
        minReadySeconds: pick(rng, 0, 5),
        strategy: pick<object>(rng, { type: 'Recreate' }, { rollingUpdate: { maxSurge: '10%' } }),
        paused: true,
      }),
      template: {
        metadata: { labels: { app: name, ...some(rng, { v: pick(rng, '1', '2') }) } },
        spec: {
          containers: [container(rng, 'a'), container(rng, 'b')].slice(0, pick(rng, 1, 2)),
          volumes: [
            {
              name: 'tmp',
              ...pick<object>(rng, { emptyDir: {} }, { emptyDir: { sizeLimit: '1024Mi' } }, { configMap: { name: 'x' } }),
            },
          ],
          ...some(rng, {
            tolerations: [{ key: 'x', operator: 'Exists' }],
            nodeSelector: some(rng, { disk: 'ssd' }),
            hostNetwork: false,
            terminationGracePeriodSeconds: pick(rng, 0, 30),
            imagePullSecrets: [{ name: pick(rng, 'p', 'q') }],
            affinity: { nodeAffinity: {} },
          }),
        },
      },
    },
  }),
  Gadget: (rng, name) => ({
    apiVersion: `${GROUP}/v1`,
    kind: 'Gadget',
    metadata: meta(rng, name),
    spec: some(rng, {
      plain: [{ name: pick(rng, 'a', 'b') }, { name: 'c', size: pick<unknown>(rng, 1, '1') }].slice(0, pick(rng, 1, 2)),
      keyed: [
        { name: 'a', size: pick<unknown>(rng, 1, '50%') },
        { name: 'a', zone: 'y' },
        { name: 'b', zone: 'z' },
      ].filter(() => rng() < 0.7),
      tags: ['x', 'y', 'z'].filter(() => rng() < 0.5),
      ref: some(rng, { name: pick(rng, 'r', 's'), kind: 'Thing' }),
      loose: some(rng, { a: { b: pick<unknown>(rng, 1, [], {}, null, '') }, c: [1, { d: 2 }] }),
      flags: some(rng, { on: pick(rng, true, false), off: false }),
      limits: some(rng, { cpu: pick<unknown>(rng, '1000m', 1, '1') }),
      mode: pick(rng, 'auto', ''),
      ratio: pick(rng, 0, 0.1, 1e21),
    }),
  }),
  Role: (rng, name) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: meta(rng, name),
    rules: [{ apiGroups: [''], resources: [pick(rng, 'pods', 'services')], verbs: ['get', ...(rng() < 0.5 ? ['list'] : [])] }],
  }),
};

type Apply = (object: KubeObject, fieldManager: string, dryRun: boolean) => Promise<KubeObject>;

function applier(mapping: ResourceMapping): Apply {
  return async (object, fieldManager, dryRun) =>
    (await applyObject(under.client, mapping, idOf(object), bytesOf(object), { fieldManager, force: true, dryRun })).live;
}

/** Where an object holds an empty map or list: whoever owns such a container owns nothing. */
function emptiesOf(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  if (Object.keys(value).length === 0) return [[...path]];
  return Array.isArray(value) ? [] : Object.entries(value).flatMap(([key, item]) => emptiesOf(item, [...path, `f:${key}`]));
}

/** The object, and what we own of it; without the ownership of empty containers where `wanted` is given. */
function comparable(object: KubeObject, wanted?: KubeObject): unknown {
  const ours = (object.metadata.managedFields ?? [])
    .filter((record) => isApplyOf(record, 'fairlead'))
    .map((record) =>
      formatFieldSet((wanted === undefined ? [] : emptiesOf(wanted)).reduce(removeFromSet, parseFieldSet(record.fieldsV1))),
    )
    .filter((set) => Object.keys(set).length > 0);
  const serverFields = [
    // Its controller writes it whenever it gets round to it.
    '/metadata/annotations/deployment.kubernetes.io~1revision',
    '/status',
    '/metadata/managedFields',
    '/metadata/resourceVersion',
    '/metadata/generation',
  ];
  const rest = serverFields.reduce(removePointer, object as unknown);
  const annotations = getIn(rest, 'metadata', 'annotations') ?? {};
  return { rest: Object.keys(annotations).length === 0 ? removePointer(rest, '/metadata/annotations') : rest, ours };
}

/** Keyed and set lists in one order, for the known exception. */
function unordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unordered).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unordered(item)]));
}

for (const [kind, make] of Object.entries(makers)) {
  test(`${kind}: drift is found exactly when an apply would change something (seed ${SEED})`, async () => {
    const rng = seededRng(SEED + kind.length);
    let drifted = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const name = `${kind.toLowerCase()}-${round}`;
      const wanted = make(rng, name);
      const mapping = await under.mapper.mapping(gvkOf(wanted));
      const apply = applier(mapping);
      const title = (extra: string): string => `${extra}, round ${round}, seed ${SEED}, wanted ${JSON.stringify(wanted)}`;
      try {
        await apply(wanted, 'fairlead', false);
      } catch (error) {
        if (hasStatus(error, 422)) continue; // the dice made something the API server does not accept
        throw error;
      }
      for (let step = 0; step < 3; step += 1) {
        const foreign = await meddle(rng, make, wanted, mapping, apply);
        const live = await getObject(under.client, mapping, idOf(wanted));
        assert.ok(live !== null);
        const would = await apply(wanted, 'fairlead', true).catch((error: unknown) => {
          if (hasStatus(error, 422)) return undefined; // what the other did and what we want exclude each other
          throw error;
        });
        const found = differsFromWanted(live, wanted, { manager: 'fairlead' });
        if (would === undefined) {
          assert.ok(found.length > 0, title(`after ${foreign}`));
          continue;
        }
        const changes = !deepEqual(comparable(live, wanted), comparable(would, wanted));
        if (changes) drifted += 1;
        const details = (): string =>
          title(
            `after ${foreign}: found ${JSON.stringify(found)}; is ${JSON.stringify(comparable(live))}; would be ${JSON.stringify(comparable(would))}`,
          );
        if (found.length > 0) assert.ok(!deepEqual(comparable(live), comparable(would)), details());
        else
          assert.ok(!changes || deepEqual(unordered(comparable(live, wanted)), unordered(comparable(would, wanted))), details());
      }
      const healed = await apply(wanted, 'fairlead', false).catch(() => undefined);
      if (healed === undefined) continue;
      assert.deepEqual(differsFromWanted(healed, wanted, { manager: 'fairlead' }), [], title('after the repair'));
    }
    assert.ok(drifted > ROUNDS / 4, `only ${drifted} rounds drifted: the test tests nothing`);
  });
}

/** Somebody else does something: a merge patch, an update without some fields, or an apply of their own. */
async function meddle(rng: Rng, make: Make, wanted: KubeObject, mapping: ResourceMapping, apply: Apply): Promise<string> {
  const path = `/${mapping.group === '' ? 'api' : `apis/${mapping.group}`}/${mapping.version}/namespaces/${namespace.name}/${mapping.resource}/${wanted.metadata.name}`;
  const other = make(rng, wanted.metadata.name);
  const { metadata, ...body } = other;
  const change = { metadata: { labels: metadata.labels ?? {}, annotations: metadata.annotations ?? null }, ...body };
  const what = pick(rng, 'nothing', 'merge patch', 'apply', 'removal', 'strategic patch');
  switch (what) {
    case 'merge patch':
    case 'strategic patch': {
      const contentType = what === 'merge patch' ? 'application/merge-patch+json' : 'application/strategic-merge-patch+json';
      await cluster.request('PATCH', `${path}?fieldManager=human`, { body: change, contentType });
      break;
    }
    case 'apply':
      await apply(other, 'human', false).catch(() => undefined);
      break;
    case 'removal': {
      const live = await getObject(under.client, mapping, idOf(wanted));
      const pointers = [
        '/metadata/labels',
        '/metadata/annotations',
        '/data/a',
        '/spec/selector/app',
        '/spec/template/spec/tolerations',
        '/spec/template/spec/containers/0/env/0',
        '/spec/ports/1',
        '/spec/template/spec/containers/0/resources',
        '/spec/ingress',
      ];
      await cluster.request('PUT', `${path}?fieldManager=human`, { body: removePointer(live, pick(rng, ...pointers)) });
      break;
    }
    default:
      break;
  }
  return what;
}
