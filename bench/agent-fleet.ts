/**
 * The other half of bench/agent-protocol.ts: N agents of the real protocol in one process. Told over IPC: join, hold long
 * polls, report every new document as applied and healthy, and say when each arrived.
 */
import { mapLimited } from '../src/base/index.ts';
import { AgentClient } from '../src/plane/agents/testing/agent-client.ts';

type Order =
  | {
      readonly do: 'join';
      readonly url: string;
      readonly ca: string;
      readonly tokens: readonly string[];
      readonly waitMs: number;
    }
  | { readonly do: 'stop' };

const agents: AgentClient[] = [];
const stop = new AbortController();

function tell(message: unknown): void {
  process.send?.(message);
}

async function live(agent: AgentClient, waitMs: number): Promise<void> {
  while (!stop.signal.aborted) {
    try {
      const answer = await agent.sync(waitMs, { signal: stop.signal });
      if (answer.resync === true && answer.desired === undefined) await agent.report([]);
      if (answer.desired === undefined) continue;
      const { document } = agent.held ?? {};
      tell({ is: 'arrived', at: Date.now(), seq: document?.seq, applications: document?.applications.length });
      await agent.report((document?.applications ?? []).map((one) => agent.steady(one.project, one.name)));
    } catch (error) {
      if (stop.signal.aborted) return;
      tell({ is: 'error', message: String(error) });
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

process.on('message', (order: Order) => {
  if (order.do === 'stop') {
    stop.abort();
    for (const agent of agents) agent.close();
    process.disconnect();
    return;
  }
  void (async () => {
    await mapLimited(order.tokens, 20, async (token) => {
      const agent = new AgentClient({ url: order.url, ca: order.ca, maxSockets: 2 });
      await agent.join(token);
      agents.push(agent);
    });
    tell({ is: 'joined' });
    for (const agent of agents) void live(agent, order.waitMs);
  })();
});
