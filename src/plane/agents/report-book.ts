import { boundedReport } from './event-lane.ts';
import { reportDigest, stateDigestOf, type DeliveryReport, type ReportRequest, type StateLane } from '#api';

interface Lane {
  boot: string;
  number: number;
  readonly digests: Map<string, string>;
  readonly reports: Map<string, DeliveryReport>;
  orphaned: ReportRequest['orphaned'];
  agent: ReportRequest['agent'];
  held: ReportRequest['held'];
  /** Whether a full report of this boot was taken, and no difference has been found since. */
  isWhole: boolean;
  /** When the newest report was taken, by this replica or another one. */
  takenMs: number;
  /** When the agent signed it. */
  signedAtMs: number;
}

/** The lane of one cluster, for other replicas. */
export interface SharedLane {
  readonly boot: string;
  readonly number: number;
  readonly orphaned: ReportRequest['orphaned'];
  readonly agent: ReportRequest['agent'];
  readonly held: ReportRequest['held'];
  readonly isWhole: boolean;
  readonly stateDigest: string;
  readonly takenMs: number;
  /** Absent: posted by a process of an older version. */
  readonly signedAtMs?: number;
  readonly reports: ReadonlyMap<string, SharedReport>;
}

/** Shortened for keeping, with the digest of what the agent sent. */
export interface SharedReport {
  readonly digest: string;
  readonly report: DeliveryReport;
}

export type Taken =
  /** Older than what is known: ignored. */
  | { readonly is: 'stale' }
  | {
      readonly is: 'taken';
      /** `project/application` whose report is new, changed or gone. */
      readonly changed: readonly string[];
      readonly agentChanged: boolean;
      /** The plane does not hold what the agent thinks it does: ask for everything. */
      readonly resync: boolean;
    };

const MAX_REPORTS = 5_000;

/**
 * The state lanes of all agents: latest wins per delivery, numbered per boot, checked by digest. In memory; what a restart
 * loses, other replicas know or agents send again.
 */
export class ReportBook {
  readonly #lanes = new Map<string, Lane>();

  lane(cluster: string): StateLane | undefined {
    const lane = this.#lanes.get(cluster);
    return lane?.isWhole === true ? lane : undefined;
  }

  /** Whether the lane of this boot is missing or incomplete. */
  needsResync(cluster: string, boot: string): boolean {
    const lane = this.#lanes.get(cluster);
    return lane === undefined || lane.boot !== boot || !lane.isWhole;
  }

  forget(cluster: string): void {
    this.#lanes.delete(cluster);
  }

  share(cluster: string): SharedLane | undefined {
    const lane = this.#lanes.get(cluster);
    if (lane === undefined) return undefined;
    const { boot, number, orphaned, agent, held, isWhole, takenMs, signedAtMs } = lane;
    const reports = new Map(
      [...lane.reports].map(([key, report]): [string, SharedReport] => [key, { digest: lane.digests.get(key) ?? '', report }]),
    );
    return {
      boot,
      number,
      orphaned,
      agent,
      held,
      isWhole,
      takenMs,
      signedAtMs,
      stateDigest: stateDigestOf(lane.digests),
      reports,
    };
  }

  /**
   * What another replica took: `keys` are all deliveries of the lane, `reports` those of them that were posted since. Returns
   * what differs from before; undefined when what is known here is newer.
   */
  adopt(
    cluster: string,
    shared: Omit<SharedLane, 'reports'>,
    keys: readonly string[],
    reports: ReadonlyMap<string, SharedReport | undefined>,
  ): { readonly changed: readonly string[]; readonly agentChanged: boolean } | undefined {
    const former = this.#lanes.get(cluster);
    const isOlder = former?.boot === shared.boot ? shared.number < former.number : shared.takenMs < (former?.takenMs ?? 0);
    if (isOlder) return undefined;
    const before = new Map(former?.digests);
    const { boot, number, orphaned, agent, held, takenMs, signedAtMs = 0 } = shared;
    const lane: Lane = {
      boot,
      number,
      orphaned,
      agent,
      held,
      takenMs,
      signedAtMs,
      isWhole: false,
      digests: new Map(),
      reports: new Map(),
    };
    for (const key of keys.slice(0, MAX_REPORTS)) {
      const report = reports.get(key)?.report ?? former?.reports.get(key);
      const digest = reports.get(key)?.digest ?? before.get(key);
      if (report === undefined || digest === undefined) continue;
      lane.digests.set(key, digest);
      lane.reports.set(key, report);
    }
    lane.isWhole = shared.isWhole && stateDigestOf(lane.digests) === shared.stateDigest;
    this.#lanes.set(cluster, lane);
    const changed = [...new Set([...before.keys(), ...lane.digests.keys()])].filter(
      (key) => before.get(key) !== lane.digests.get(key),
    );
    const about = (one: Pick<Lane, 'agent' | 'orphaned'> | undefined): string =>
      JSON.stringify([one?.agent ?? [], one?.orphaned ?? []]);
    return { changed, agentChanged: about(former) !== about(lane) || former?.isWhole !== lane.isWhole };
  }

  take(cluster: string, report: ReportRequest, nowMs: number, signedAtMs: number): Taken {
    const former = this.#lanes.get(cluster);
    const isSameBoot = former?.boot === report.boot;
    // The same number again is a report whose answer was lost: the agent may have put newer words into it.
    if (isSameBoot && report.number < former.number) return { is: 'stale' };
    // A report of an earlier process of the agent, sent again by somebody to a replica that has not seen it. An agent whose clock
    // went back is asked again, until it says something newer.
    if (former !== undefined && !isSameBoot && signedAtMs < former.signedAtMs) return { is: 'stale' };
    // What an earlier process said is dropped only once the new one has said everything.
    if (!isSameBoot && !report.full) return { is: 'taken', changed: [], agentChanged: false, resync: true };
    const before = new Map(former?.digests);
    const lane: Lane =
      former !== undefined && isSameBoot
        ? former
        : {
            boot: report.boot,
            number: 0,
            digests: new Map(),
            reports: new Map(),
            orphaned: [],
            agent: [],
            held: undefined,
            isWhole: false,
            takenMs: nowMs,
            signedAtMs,
          };
    if (report.full) {
      lane.digests.clear();
      lane.reports.clear();
    }
    for (const one of report.deliveries) {
      const key = `${one.project}/${one.application}`;
      if (!lane.digests.has(key) && lane.digests.size >= MAX_REPORTS) continue;
      lane.digests.set(key, reportDigest(one));
      lane.reports.set(key, boundedReport(one));
    }
    const agentChanged =
      JSON.stringify([former?.agent ?? [], former?.orphaned ?? []]) !== JSON.stringify([report.agent, report.orphaned]);
    lane.number = report.number;
    lane.takenMs = nowMs;
    lane.signedAtMs = signedAtMs;
    lane.orphaned = report.orphaned;
    lane.agent = report.agent;
    lane.held = report.held;
    const isRight = stateDigestOf(lane.digests) === report.stateDigest;
    lane.isWhole = isRight && (report.full || lane.isWhole);
    this.#lanes.set(cluster, lane);
    const changed = new Set<string>();
    for (const [key, digest] of lane.digests) if (before.get(key) !== digest) changed.add(key);
    for (const key of before.keys()) if (!lane.digests.has(key)) changed.add(key);
    return { is: 'taken', changed: [...changed], agentChanged, resync: !lane.isWhole };
  }
}
