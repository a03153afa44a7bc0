/** The process of the simulated agents; started by SimulatedAgents, ordered over IPC, gone when its parent is. */
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { FairleadError, mapLimited, messageOf, retryDelay } from '#base';
import { AgentClient, Refused } from '../../plane/agents/testing/agent-client.ts';
import type { Order, Told } from './messages.ts';

// As the agent that runs in clusters waits.
const BACKOFF = { baseMs: 500, maxMs: 30_000 };
const JOINS_AT_ONCE = 20;
// Under the plane's budget for joining from one address.
const AGENTS_PER_ADDRESS = 40;

const agents: AgentClient[] = [];
const stop = new AbortController();
const tell = (message: Told): void => void process.send?.(message);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What the new document names and this agent does not have yet, as the agent in a cluster would fetch it. */
async function fetchContent(agent: AgentClient, known: Set<string>): Promise<void> {
  for (const { bundle } of agent.held?.document.applications ?? []) {
    if (known.has(bundle)) continue;
    const { entries } = JSON.parse((await agent.bundle(bundle)).toString('utf8')) as { entries: { digest: string }[] };
    const missing = entries.map(({ digest }) => digest).filter((digest) => !known.has(digest));
    if (missing.length > 0) await agent.objects(missing);
    for (const digest of [bundle, ...missing]) known.add(digest);
  }
}

async function live(agent: AgentClient, waitMs: number): Promise<void> {
  const known = new Set<string>();
  let failures = 0;
  // What is still to be done for the document that is held: a plane that refuses one step is asked for that step again.
  let owed: 'content' | 'report' | undefined;
  while (!stop.signal.aborted) {
    try {
      const answer = owed === undefined ? await agent.sync(waitMs, { signal: stop.signal }) : {};
      if (answer.desired !== undefined) owed = 'content';
      const applications = agent.held?.document.applications ?? [];
      if (owed === 'content') {
        await fetchContent(agent, known);
        tell({ is: 'arrived', cluster: agent.cluster, at: Date.now(), releases: applications.map(({ release }) => release) });
        owed = 'report';
      }
      if (owed === 'report') await agent.report(applications.map(({ project, name }) => agent.steady(project, name)));
      else if (answer.resync === true) await agent.report([]);
      owed = undefined;
      if (failures > 0) tell({ is: 'back', cluster: agent.cluster, at: Date.now() });
      failures = 0;
    } catch (error) {
      if (stop.signal.aborted) return;
      failures += 1;
      if (failures === 1) tell({ is: 'lost', cluster: agent.cluster, at: Date.now(), why: messageOf(error) });
      await sleep(retryDelay(failures, error instanceof FairleadError ? (error.retryAfterMs ?? 0) : 0, BACKOFF));
    }
  }
}

async function joined(agent: AgentClient, token: string): Promise<void> {
  for (;;) {
    try {
      await agent.join(token);
      return;
    } catch (error) {
      // The plane spreads a flood of joins; the token opens for the same key again.
      if (!(error instanceof Refused) || error.status !== 429 || stop.signal.aborted) throw error;
      await sleep(retryDelay(0, error.retryAfterMs ?? 0, BACKOFF));
    }
  }
}

async function join(order: Order & { readonly do: 'join' }): Promise<void> {
  // Nobody unseals anything here, so one key does for all.
  const sealingKey = await identityToRecipient(await generateX25519Identity());
  await mapLimited([...order.tokens.entries()], JOINS_AT_ONCE, async ([index, token]) => {
    const address = `127.0.1.${1 + (Math.floor(index / AGENTS_PER_ADDRESS) % 250)}`;
    const agent = new AgentClient({ url: order.url, ca: order.ca, sealingKey, maxSockets: 2, localAddress: address });
    await joined(agent, token);
    agents.push(agent);
  });
  tell({ is: 'joined' });
  for (const agent of agents) void live(agent, order.waitMs);
}

process.on('message', (order: Order) => {
  if (order.do === 'join') {
    join(order).catch((error: unknown) => tell({ is: 'failed', why: messageOf(error) }));
    return;
  }
  stop.abort();
  for (const agent of agents) agent.close();
  process.disconnect();
});
process.on('disconnect', () => process.exit(0));
