/** What `kubectl create --dry-run=client` reads out of manifests is what the renderer reads. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog } from '#base';
import { sharedCluster, testbedMissing } from '#testbed';
import { createRenderer } from './renderer.ts';
import { bodyOf, builtModule, objectsOf, requestOf } from './testing.ts';

const manifests = `apiVersion: v1
kind: ConfigMap
metadata:
  name: web
  namespace: default
  labels: {on: "yes", x: 'no'}
data:
  a: |
    x
     y

  b: >-
    folded
    text
  c: "é😀\\u2028<&>"
---
apiVersion: v1
kind: List
items:
- &d
  apiVersion: apps/v1
  kind: Deployment
  metadata: {name: d1, namespace: default}
  spec: &s
    replicas: 0o3
    selector: {matchLabels: {a: b}}
    template: {metadata: {labels: {a: b}}, spec: {terminationGracePeriodSeconds: 012, containers: [{name: c, image: i}]}}
- <<: *d
  metadata: {name: d2, namespace: default}
  spec:
    <<: *s
    replicas: 9007199254740993
    minReadySeconds: 1e3
    x: 1.50
    y: 18446744073709551615
    z: 1_000
    t: 2001-01-01
    s: 1:30
---
# only a comment
---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "default"}, "spec": {"ports": [{"port": 8e1}], "x": 1e21}}
`;

/** JSON with numbers as their text, so that nothing is lost before it is compared. */
function exact(json: string): unknown {
  return JSON.parse(json, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === 'number' ? { number: context?.source } : value,
  );
}

test('bodies are what kubectl reads', { skip: testbedMissing() }, async () => {
  const cluster = await sharedCluster();
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-render-'));
  const renderer = await createRenderer({ wasmPath: await builtModule(), log: silentLog });
  try {
    const file = join(directory, 'all.yaml');
    await writeFile(file, manifests);
    const ours = objectsOf(await renderer.render(requestOf({ 'all.yaml': manifests })));
    assert.equal(ours.length, 4);
    const args = ['create', '--dry-run=client', '--validate=false', '--output=json', '--filename', file];
    const theirs = await cluster.kubectl(args);
    assert.equal(theirs.exitCode, 0, theirs.stderr);
    // One object after another, each starting with a brace in the first column.
    const objects = theirs.stdout.split(/^(?=\{)/m).map(exact);
    const byName = new Map(objects.map((object) => [nameOf(object), object]));
    for (const object of ours) assert.deepEqual(exact(bodyOf(object)), byName.get(object.id.name), object.id.name);
  } finally {
    renderer.stop();
    await rm(directory, { recursive: true, force: true });
  }
});

function nameOf(object: unknown): string {
  // Kubernetes objects, by kubectl's word.
  return (object as { readonly metadata: { readonly name: string } }).metadata.name;
}
