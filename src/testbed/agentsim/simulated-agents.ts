import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { FairleadError, must, waitFor } from '#base';
import type { Order, Told } from './messages.ts';

export interface SimulatedAgentsOptions {
  /** `https://127.0.0.1:8443` */
  readonly url: string;
  /** PEM of the plane's authority. */
  readonly ca: string;
  /** One join token per agent. */
  readonly tokens: readonly string[];
  /** How long a poll asks to be held, ms. Default 60,000. */
  readonly waitMs?: number;
  readonly timeoutMs?: number;
}

/** A document with its content at an agent. */
export interface Arrival {
  readonly cluster: string;
  /** Date.now() */
  readonly at: number;
  /** Names of the Releases it names. */
  readonly releases: readonly string[];
}

/** A fleet of agents of the real protocol without clusters, in a process of its own. Errors: `FL_AGENTSIM`. */
export class SimulatedAgents implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #arrivals: Arrival[] = [];
  readonly #back = new Map<string, number>();
  readonly #lost = new Map<string, string>();
  #isJoined = false;
  #failure: string | undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = must(child.pid, 'the process of the simulated agents has started');
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()));
    child.on('message', (told: Told) => this.#take(told));
    child.once('exit', (code) => (this.#failure ??= `its process ended with ${String(code)}`));
  }

  /** Resolves when all have joined; they have begun to poll. */
  static async join(options: SimulatedAgentsOptions): Promise<SimulatedAgents> {
    const child = fork(join(import.meta.dirname, 'process.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const agents = new SimulatedAgents(child);
    const { url, ca, tokens, waitMs = 60_000 } = options;
    agents.#order({ do: 'join', url, ca, tokens, waitMs });
    try {
      await waitFor('the simulated agents to join', () => agents.#isJoined || agents.#failure !== undefined, {
        timeoutMs: options.timeoutMs ?? 300_000,
      });
      if (agents.#failure !== undefined) {
        throw new FairleadError('FL_AGENTSIM', `the simulated agents could not join: ${agents.#failure}`, {
          kind: 'unavailable',
        });
      }
      return agents;
    } catch (error) {
      await agents[Symbol.asyncDispose]();
      throw error;
    }
  }

  #order(order: Order): void {
    if (this.#child.connected) this.#child.send(order);
  }

  #take(told: Told): void {
    switch (told.is) {
      case 'joined':
        this.#isJoined = true;
        return;
      case 'arrived':
        this.#arrivals.push(told);
        return;
      case 'back':
        this.#back.set(told.cluster, told.at);
        return;
      case 'lost':
        this.#lost.set(told.cluster, told.why);
        return;
      case 'failed':
        this.#failure = told.why;
    }
  }

  /** Documents that reached agents since `forget`. */
  get arrivals(): readonly Arrival[] {
    return this.#arrivals;
  }

  /** When each agent that had lost the plane was answered again (Date.now()), since `forget`. */
  get back(): ReadonlyMap<string, number> {
    return this.#back;
  }

  /** Agents whose poll failed, and why, since `forget`. */
  get lost(): ReadonlyMap<string, string> {
    return this.#lost;
  }

  forget(): void {
    this.#arrivals.length = 0;
    this.#back.clear();
    this.#lost.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#order({ do: 'stop' });
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 3000);
    await this.#exited;
    clearTimeout(timer);
  }
}
