import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request } from 'node:https';
import { mapLimited, waitFor } from '#base';
import { PlaneRooms } from '../../plane/agents/testing/plane-rooms.ts';
import { SimulatedAgents } from './index.ts';

const COUNT = 1000;
const many = { burst: 1e6, perSecond: 1e6 };

/** Status of a request as people's tools make it, on a connection of its own. */
function ask(url: string, ca: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request(new URL(path, url), { ca, agent: false, timeout: 60_000 }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    call.on('timeout', () => call.destroy(new Error(`no answer to ${path} in a minute`)));
    call.on('error', reject);
    call.end();
  });
}

test('a plane that takes few of a thousand agents at once sends the others away, and gets round to all of them', async (t) => {
  await using plane = await PlaneRooms.start({
    budgets: { join: many },
    totalBudgets: { join: many },
    // Enough for those that join, far too few for a thousand that ask for their release.
    limits: { surfaces: { agent: { inFlight: 60 } } },
  });
  await plane.createProject();
  const clusters = Array.from({ length: COUNT }, (_, index) => `c${index}`);
  const tokens = await mapLimited(clusters, 50, async (name) => {
    await plane.createCluster(name);
    return plane.enroll(name, 3600);
  });
  await plane.deliver('web', 1, clusters);
  await using agents = await SimulatedAgents.join({ url: plane.url, ca: plane.keys.tls.ca, tokens, waitMs: 60_000 });
  const from = Date.now();
  const people: number[] = [];
  const served = (): ReadonlySet<string> =>
    new Set(agents.arrivals.flatMap(({ cluster, releases }) => (releases.includes('web.1') ? [cluster] : [])));
  await waitFor(
    'all agents to have the release',
    async () => {
      people.push(await ask(plane.url, plane.keys.tls.ca, '/readyz'));
      if (served().size < COUNT) throw new Error(`${served().size} have it, ${agents.lost.size} were sent away at least once`);
      return true;
    },
    { timeoutMs: 240_000, intervalMs: 100 },
  );
  const refused = Number(/fairlead_http_requests_total\{[^}]*code="429"[^}]*\} (\d+)/.exec(plane.http.metrics.text())?.[1] ?? 0);
  const took = agents.arrivals.map(({ at }) => at - from).toSorted((a, b) => a - b);
  t.diagnostic(
    `${refused} times sent away; half of the agents served after ${took[COUNT / 2]} ms, the last after ${took.at(-1)} ms`,
  );
  assert.ok(refused > 0, 'more came than it takes');
  assert.deepEqual([...new Set(people)], [200], 'people are answered meanwhile');
});
