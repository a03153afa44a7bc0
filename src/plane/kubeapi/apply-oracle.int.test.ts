import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { mapLimited, newUid, seededRng } from '#base';
import { servedKinds } from '#api';
import { sharedCluster, type ClusterHandle } from '#testbed';
import { crdsOf } from './index.ts';
import { getIn, isArray, isObject, scalarText, stableJson, textOf, withKey, type Json, type JsonObject } from './json.ts';
import { startKubeApiForTest, type TestKubeApi } from './testing/start-kube-api.ts';
import { clusterServer, comparable, planeServer, type Answer, type Server } from './testing/two-servers.ts';
import { Widget } from './testing/widget.ts';
import { randomOperation, type Operation } from './testing/widget-operations.ts';

let cluster: ClusterHandle;
let plane: TestKubeApi;
const dir = mkdtempSync(join(tmpdir(), 'fairlead-apply-'));
const namespace = `widgets-${newUid().slice(0, 6)}`;
const episodes = Number(process.env['FAIRLEAD_APPLY_EPISODES'] ?? 50);
const seed = Number(process.env['FAIRLEAD_APPLY_SEED'] ?? 20261122);

before(async () => {
  cluster = await sharedCluster('c');
  plane = await startKubeApiForTest({ dir, kinds: [...servedKinds, Widget] });
  const [crd] = crdsOf([Widget]);
  const applied = await cluster.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], {
    input: JSON.stringify(crd),
  });
  assert.equal(applied.exitCode, 0, applied.stderr);
  const ready = await cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd/widgets.fairlead.dev']);
  assert.equal(ready.exitCode, 0, ready.stderr);
  for (const server of [planeServer(plane), clusterServer(cluster)]) {
    const made = await server('POST', '/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace },
    });
    assert.equal(made.status, 201);
  }
});

after(async () => {
  const server = clusterServer(cluster);
  const left = (await server('GET', collection)).body['items'];
  // The finalizers of this test belong to nobody else: what holds one would stay for ever.
  await mapLimited(isArray(left) ? left : [], 8, async (object) => {
    const name = textOf(getIn(object, 'metadata', 'name')) ?? '';
    if (getIn(object, 'metadata', 'finalizers') === undefined) return;
    await server('PATCH', `${collection}/${name}`, { metadata: { finalizers: null } }, 'application/merge-patch+json');
  });
  await server('DELETE', `/api/v1/namespaces/${namespace}`);
  await plane.stop();
  rmSync(dir, { recursive: true, force: true });
});

const collection = `/apis/fairlead.dev/v1alpha1/namespaces/${namespace}/widgets`;

async function perform(server: Server, operation: Operation, name: string): Promise<Answer> {
  const path = operation.method === 'POST' ? collection : `${collection}/${name}${operation.below}`;
  let body: Json = operation.body;
  if (operation.method === 'PUT') {
    const live = await server('GET', `${collection}/${name}`);
    if (live.status !== 200) return live;
    body = { ...live.body, ...(operation.body as JsonObject) };
  } else if (operation.method === 'POST' || operation.contentType.includes('apply')) {
    const object = operation.body as JsonObject;
    body = { ...object, metadata: { ...(object['metadata'] as JsonObject), name, namespace } };
  }
  return server(operation.method, `${path}?${operation.query}`, body, operation.contentType);
}

/** Differences that are meant: an API server turns a container that pruning emptied into null and then refuses its own object. */
function isKnown(ours: Answer, theirs: Answer): boolean {
  const message = scalarText(theirs.body['message']);
  return (
    theirs.status === 422 &&
    ours.status === 200 &&
    /Invalid value: "null"|must be of type (object|array|string|integer|boolean): "null"/.test(message)
  );
}

function essence(answer: Answer): string {
  if (answer.status >= 400) {
    // The order of paths and managers in a message is that of a Go map.
    return stableJson({
      status: answer.status,
      reason: answer.body['reason'] ?? null,
      details: comparable(answer.body['details']),
    });
  }
  return stableJson({ status: answer.status, object: comparable(answer.body) });
}

test('server-side apply and managedFields, field for field as a real API server', async (context) => {
  const differences: string[] = [];
  let operations = 0;
  let known = 0;
  await mapLimited(Array.from({ length: episodes }), 4, async (_none, episode) => {
    const rng = seededRng(seed + episode);
    const name = `w${episode}`;
    const log: string[] = [];
    for (let index = 0; index < 14; index++) {
      const operation = randomOperation(rng, index === 0);
      const [ours, theirs] = await Promise.all([
        perform(planeServer(plane), operation, name),
        perform(clusterServer(cluster), operation, name),
      ]);
      operations += 1;
      log.push(
        `${operation.method} ${operation.below} ${operation.query} ${operation.contentType}\n  ${JSON.stringify(operation.body)} → ${theirs.status}`,
      );
      if (essence(ours) === essence(theirs)) continue;
      if (isKnown(ours, theirs)) known += 1;
      else {
        differences.push(
          `episode ${episode}:\n${log.slice(-4).join('\n')}\n--- API server\n${pretty(theirs)}\n--- plane\n${pretty(ours)}`,
        );
      }
      // From here on the two objects have different pasts.
      return;
    }
  });
  context.diagnostic(
    `${operations} operations, ${differences.length} different, ${known} where the API server refused its own object`,
  );
  assert.equal(differences.length, 0, differences.slice(0, 3).join('\n\n'));
});

function pretty(answer: Answer): string {
  if (answer.status >= 400) return `${answer.status} ${scalarText(answer.body['message'])}`;
  const object = comparable(answer.body);
  return isObject(object) ? `${answer.status} ${stableJson(withKey(object, 'apiVersion', undefined))}` : String(answer.status);
}
