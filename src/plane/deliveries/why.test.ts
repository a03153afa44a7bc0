import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeCluster, makeFacts, makeProject, makeReport, NOW } from './testing/make-facts.ts';
import { why } from './why.ts';

test('why names everything that holds, the verdict first, and the objects', () => {
  const id = { group: 'apps', version: 'v1', kind: 'Deployment', namespace: 'web', name: 'web' };
  const reason = { code: 'FL_HEALTH_FAILED', args: { object: 'Deployment web/web', words: '0 of 2 pods' }, since: NOW };
  const report = makeReport(1, { health: 'degraded', problems: [{ id, state: 'unhealthy', reason }] });
  const told = why(makeFacts({ report, project: makeProject({ clusterSelector: { matchLabels: { env: 'dev' } } }) }));
  assert.equal(told.verdict.code, 'FL_CLAIM_CLUSTER');
  assert.deepEqual(
    told.because.map((one) => [one.area, one.actor]),
    [
      ['claim', 'platform team'],
      ['health', 'application owner'],
    ],
  );
  assert.deepEqual(told.objects, [
    {
      id,
      state: 'unhealthy',
      code: 'FL_HEALTH_FAILED',
      sentence: 'Deployment web/web in prod-eu is not healthy: 0 of 2 pods; see its events and logs',
      since: NOW,
    },
  ]);
  assert.equal(told.because[1]?.sentence, 'Deployment web/web in prod-eu is not healthy: 0 of 2 pods; see its events and logs');
});

test('what is ready says so', () => {
  assert.equal(why(makeFacts()).verdict.sentence, 'release web.1 is applied and healthy');
  assert.equal(why(makeFacts({ cluster: { ...makeCluster(), status: {} } })).verdict.next, 'fairlead enroll prod-eu');
});
