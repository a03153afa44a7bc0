import {
  Cluster,
  DesiredStateRow,
  LOOK_CAPABILITY,
  payloadTypes,
  seal,
  type DesiredPosition,
  type Envelope,
  type Head,
  type LookOrder,
  type SyncRequest,
  type SyncResponse,
} from '#api';
import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '#base';
import type { HttpRequest } from '#plane/http';
import type { AgentDirectory } from './agent-directory.ts';
import { unknownAgent } from './agent-directory.ts';
import { clusterKey, revisionOf, type ReleaseCache } from './compose-inputs.ts';
import type { AgentsContext } from './context.ts';
import { checkCapability, detached } from './enrolment.ts';
import type { LiveBook } from './live-book.ts';
import type { LookBook } from './look-book.ts';
import { standingOf } from './positions.ts';
import { recover } from './recover.ts';

/** After having asked for the whole state lane, the same boot is not asked out of turn again for this long. */
const RESYNC_PATIENCE_MS = 15_000;
const NOTHING_YET_MS = 2_000;

/** Long polls of agents: answered at once when there is something newer, else held until there is. */
export class Syncs {
  readonly #context: AgentsContext;
  readonly #directory: AgentDirectory;
  readonly #live: LiveBook;
  readonly #releases: ReleaseCache;
  readonly #looks: LookBook;
  readonly #asked = new Map<string, { boot: string; atMs: number }>();

  constructor(context: AgentsContext, directory: AgentDirectory, live: LiveBook, releases: ReleaseCache, looks: LookBook) {
    this.#context = context;
    this.#directory = directory;
    this.#live = live;
    this.#releases = releases;
    this.#looks = looks;
  }

  /** Errors: FL_AGENT_CAPABILITY, FL_AGENT_DETACHED, FL_AGENT_UNKNOWN, and those of `recover` for a proof that is none. */
  async answer(
    cluster: string,
    request: SyncRequest,
    http: Pick<HttpRequest, 'signal' | 'held'>,
    signedAtMs: number,
  ): Promise<SyncResponse> {
    const { signal } = http;
    checkCapability(request.capability);
    const { clock, store } = this.#context;
    const { boot, version } = request;
    const startedMs = clock.now();
    const isNews = this.#live.heard(cluster, startedMs, request.waitMs, { boot, version });
    store.pulse(Cluster, clusterKey(cluster), { lastContact: startedMs, boot, version });
    if (isNews) this.#live.tell({ of: 'cluster', cluster });
    await this.#noteFacts(cluster, request, signedAtMs);
    if (request.proof !== undefined) {
      const done = await recover(this.#context, this.#releases, cluster, request.proof);
      if (done === 'recovered') this.#live.tell({ of: 'cluster', cluster });
    }
    const deadlineMs = startedMs + request.waitMs;
    let isOver = false;
    for (;;) {
      // Registered before looking, so that nothing falls in between.
      const news = this.#directory.news(cluster, Math.max(0, deadlineMs - clock.now()), signal);
      let response: SyncResponse | undefined;
      try {
        response = await this.#look(cluster, request, isOver || clock.now() >= deadlineMs);
      } finally {
        if (response !== undefined) news.cancel();
      }
      if (response !== undefined) return response;
      isOver = (await http.held(() => news.arrived)) === 'over';
      if (signal.aborted) {
        this.#live.cut(cluster, clock.now());
        return {};
      }
    }
  }

  /** The answer there is now; undefined: wait. */
  async #look(cluster: string, request: SyncRequest, isOver: boolean): Promise<SyncResponse | undefined> {
    const entry = await this.#directory.find(cluster);
    if (entry.identity === undefined) throw unknownAgent(cluster);
    if (entry.identity.detached || !entry.clusterExists) throw detached(cluster);
    const { held } = request;
    const { keys } = this.#context;
    const isNewer = held === undefined || entry.position?.digest !== held.digest || entry.position.seq !== held.seq;
    const row = isNewer ? await this.#context.store.get(DesiredStateRow, clusterKey(cluster)) : undefined;
    // Another process has rotated the key, and signed already: an agent can believe it only together with the new key set.
    const isKnown = (): boolean => row?.spec.envelope.signatures.some(({ keyid }) => keys.verifyKeys.has(keyid)) ?? true;
    if (!isKnown()) keys.takeOverRotation();
    const extras: SyncResponse = {
      ...(keys.keySet.version > request.keySetVersion ? { keySet: keys.keySetEnvelope } : {}),
      ...(this.#live.reports.needsResync(cluster, request.boot) ? { resync: true } : {}),
      ...this.#order(cluster, request),
    };
    let { position } = entry;
    if (isNewer) {
      if (!isKnown()) return { ...extras, retryAfterMs: NOTHING_YET_MS };
      position = row?.spec.position;
      const standing = standingOf(row?.spec, held);
      if (standing === 'foreign' || (standing === 'unsure' && request.proof === undefined)) return { ...extras, need: 'held' };
      if (standing !== 'current' && row !== undefined) return { ...extras, desired: row.spec.envelope };
    }
    const isAsked = extras.keySet !== undefined || extras.looks !== undefined;
    const isUrgent = isAsked || (extras.resync === true && this.#mayAsk(cluster, request.boot));
    if (!isOver && !isUrgent) return undefined;
    if (position === undefined) return { ...extras, retryAfterMs: NOTHING_YET_MS };
    return { ...extras, head: this.#head(cluster, position, request.nonce) };
  }

  /** What the agent is asked to show, signed for exactly this request. An answer with it is given at once. */
  #order(cluster: string, { capability, nonce }: SyncRequest): Pick<SyncResponse, 'looks'> {
    const looks = capability < LOOK_CAPABILITY ? [] : this.#looks.toHand(cluster);
    if (looks.length === 0) return {};
    const { keys } = this.#context;
    const order: LookOrder = { planeId: keys.planeId, cluster, nonce, looks: [...looks] };
    return { looks: seal(payloadTypes.looks, Buffer.from(JSON.stringify(order)), [keys.signer]) };
  }

  #head(cluster: string, position: DesiredPosition, nonce: string): Envelope {
    const { keys, clock } = this.#context;
    const head: Head = { planeId: keys.planeId, cluster, position, nonce, time: clock.now() };
    return seal(payloadTypes.head, Buffer.from(JSON.stringify(head)), [keys.signer]);
  }

  #mayAsk(cluster: string, boot: string): boolean {
    const nowMs = this.#context.clock.now();
    const asked = this.#asked.get(cluster);
    if (asked?.boot === boot && nowMs - asked.atMs < RESYNC_PATIENCE_MS) return false;
    this.#asked.delete(cluster);
    this.#asked.set(cluster, { boot, atMs: nowMs });
    if (this.#asked.size > 20_000) {
      const [oldest] = this.#asked.keys();
      if (oldest !== undefined) this.#asked.delete(oldest);
    }
    return true;
  }

  /** Facts, version and capability are rows of the Cluster; sent seldom, written only when they differ. */
  async #noteFacts(cluster: string, { facts, version, capability }: SyncRequest, signedAtMs: number): Promise<void> {
    if (facts === undefined) return;
    // No later than now, or an agent whose clock is ahead could not correct what it says for a minute.
    const factsAt = rfc3339(Math.min(signedAtMs, this.#context.clock.now()));
    const noted = (object: Cluster | undefined): Cluster | undefined => {
      const { agent } = object?.status ?? {};
      if (object === undefined || agent === undefined) return undefined;
      // Somebody sends an older request of the agent again, to a process that has not seen it.
      if (agent.factsAt !== undefined && factsAt < agent.factsAt) return undefined;
      const same: Cluster['status'] = { ...object.status, facts, agent: { ...agent, version, capability } };
      if (isDeepStrictEqual(same, object.status)) return undefined;
      return { ...object, status: { ...object.status, facts, agent: { ...agent, version, capability, factsAt } } };
    };
    const next = noted(await this.#context.store.get(Cluster, clusterKey(cluster)));
    if (next === undefined) return;
    // A conflict is no harm: facts come again with the next start or change, and somebody wrote something newer.
    const write = (object: Cluster) =>
      this.#context.store.commit({
        expect: [{ kind: Cluster, key: clusterKey(cluster), revision: revisionOf(object) }],
        write: [{ op: 'put', kind: Cluster, object }],
      });
    const first = await write(next);
    if (first.ok) return;
    const again = noted(await this.#context.store.get(Cluster, clusterKey(cluster)));
    if (again !== undefined) await write(again);
  }
}
