import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { FairleadError, newUid, silentLog, systemClock } from '#base';
import { Application, reasonOf, say, type ReasonCode } from '#api';
import type { Controller, ReconcileResult } from '#plane/engine';
import { Fleet } from './fleet.ts';
import { createReleaseController } from './release-controller.ts';
import type { ResolveReferences } from './remote-references.ts';
import { ChartServer, World } from './testing/world.ts';

/** Of an application whose chart needs one from elsewhere: what a look comes to when that cannot be had. */
let w: World;
let charts: ChartServer;
let controller: Controller;
/** Thrown instead of asking; undefined: the real server is asked. */
let fault: FairleadError | undefined;

before(async () => {
  charts = await ChartServer.start();
  w = await World.start();
  await w.project();
  await w.cluster('eu', {});
  await w.git.commit(
    'fleet',
    {
      'web/Chart.yaml': `apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n- {name: redis, version: 1.x, repository: "${charts.url}"}\n`,
    },
    'one',
  );
  await w.repository();
  await w.put(Application, 'web', {
    source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'web' },
    targets: [{ clusterSelector: {} }],
    defaultNamespace: 'web',
  });
  // The world itself fetches nothing, and says so; the controller under test is looked at by hand.
  await w.untilReason('web', 'FL_RENDER_REMOTE');
  await w.idle();
  const resolveReferences: ResolveReferences = (references, context) =>
    fault === undefined ? w.resolveReferences(references, context) : Promise.reject(fault);
  controller = createReleaseController({
    fleet: new Fleet(),
    renderer: w.renderer,
    openSnapshot: w.openSnapshot,
    resolveReferences,
    derive: (purpose, ...parts) =>
      createHmac('sha256', 'a test')
        .update(JSON.stringify([purpose, ...parts]))
        .digest(),
    newId: newUid,
    log: silentLog,
  });
  await controller.initial?.(w.store);
});
after(async () => {
  await w[Symbol.asyncDispose]();
  await charts[Symbol.asyncDispose]();
});

function look(): Promise<ReconcileResult> {
  return controller.reconcile('default/web', { read: w.store, clock: systemClock, signal: AbortSignal.timeout(60_000) });
}

/** What the look would write as the reason. */
function reasonIn({ commit }: ReconcileResult): string | undefined {
  const object = commit?.write?.flatMap((write) =>
    write.op === 'put' && write.kind.kind === 'Application' ? [write.object] : [],
  )[0];
  // Of an Application this is its status.
  return (object as Application | undefined)?.status?.reason?.code;
}

test('what may pass by itself is looked at again, when its kind of failure says; the rest is not', async () => {
  const cases: readonly (readonly [ReasonCode, number | undefined])[] = [
    ['FL_SOURCE_UNREACHABLE', 30_000],
    ['FL_SOURCE_DENIED', 300_000],
    ['FL_SOURCE_NO_CHART', 300_000],
    ['FL_SOURCE_NO_REF', 300_000],
    ['FL_SOURCE_MOVED', 300_000],
    ['FL_SOURCE_REFUSED', 300_000],
    ['FL_SOURCE_NO_CREDENTIAL', 300_000],
    ['FL_SOURCE_HOST_KEY', 300_000],
    ['FL_SOURCE_FORBIDDEN', undefined],
    ['FL_SOURCE_LIMIT', undefined],
    ['FL_RENDER_FAILED', undefined],
  ];
  for (const [code, againMs] of cases) {
    const reason = reasonOf(code, { url: 'https://charts.example.com' });
    fault = new FairleadError(code, say(reason), { kind: 'invalid', details: reason.args });
    const result = await look();
    assert.equal(reasonIn(result), code);
    assert.equal(result.againMs, againMs, code);
    assert.equal(result.chunks, undefined, 'nothing is released');
  }
});

test('what is the matter with the plane is not the application: the engine tries again', async () => {
  fault = new FairleadError('FL_FETCH_CONNECT', 'the cache is gone', { kind: 'unavailable' });
  await assert.rejects(look(), { code: 'FL_FETCH_CONNECT' });
});

test('an answer of a real server is tried again, and the look that finds it releases without anything else having changed', async () => {
  fault = undefined;
  for (const [status, code, againMs] of [
    [401, 'FL_SOURCE_DENIED', 300_000],
    [404, 'FL_SOURCE_REFUSED', 300_000],
    [503, 'FL_SOURCE_UNREACHABLE', 30_000],
  ] as const) {
    charts.fault = status;
    const result = await look();
    assert.deepEqual([reasonIn(result), result.againMs], [code, againMs], String(status));
  }
  charts.fault = undefined;
  charts.publish('redis', '0.9.0');
  const none = await look();
  assert.deepEqual([reasonIn(none), none.againMs], ['FL_SOURCE_NO_CHART', 300_000]);
  charts.publish('redis', '1.0.0');
  const found = await look();
  assert.equal(found.againMs, undefined);
  const writes = (found.chunks ?? []).flatMap((chunk) => chunk.write ?? []);
  assert.ok(writes.some((write) => write.kind.kind === 'Release'));
});
