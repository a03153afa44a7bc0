import {
  actorOf,
  applyIdentity,
  areaOf,
  argumentsOf,
  isReasonCode,
  reasonAreas,
  say,
  selects,
  type Delivery,
  type DeliveryReport,
  suspended,
  type ObjectIdentity,
  type ReasonActor,
  type ReasonArea,
  type ReasonArgs,
  type ReasonCode,
  type WireReason,
} from '#api';
import type { DeliveryFacts } from './facts.ts';

/** One thing that keeps a Delivery from being ready. */
export interface Candidate {
  readonly area: ReasonArea;
  /** A code of the catalogue, or one that a newer agent knows and we do not. */
  readonly code: string;
  readonly args: ReasonArgs;
  readonly object?: ObjectIdentity;
}

/** What the plane finds out by itself; never believed from a stored verdict. */
const planeCodes: ReadonlySet<string> = new Set<ReasonCode>([
  'FL_CLAIM_CLUSTER',
  'FL_CLAIM_PROJECT',
  'FL_CLAIM_SERVICE_ACCOUNT',
  'FL_CLAIM_SERVICE_ACCOUNT_NAMESPACE',
  'FL_CLAIM_NO_SERVICE_ACCOUNT',
  'FL_HOLD_SUSPENDED',
  'FL_HOLD_RECOVERY',
  'FL_HOLD_FROZEN',
  'FL_NO_TARGETS',
]);

export function areaOfCode(code: string): ReasonArea {
  return isReasonCode(code) ? areaOf(code) : 'apply';
}

export function actorOfCode(code: string): ReasonActor {
  return isReasonCode(code) ? actorOf(code) : 'application owner';
}

export function isResolving(code: string): boolean {
  return actorOfCode(code) === 'nobody: it resolves itself';
}

function isDone(code: string): boolean {
  return actorOfCode(code) === 'nobody: it is done';
}

function candidate(code: ReasonCode, args: ReasonArgs): Candidate {
  return { area: areaOf(code), code, args };
}

/**
 * Everything that keeps the Delivery from being ready, in the fixed precedence source, render, claim, hold, contact, apply,
 * health, drift; within an area, what the plane knows comes before what the agent says. Empty: it is ready.
 *
 * Three rules keep it truthful. What the agent says counts only while there is contact, and only for the wanted (release
 * number, bundle). What will pass by itself further up (a commit being fetched or rendered) or was switched off by a person
 * (suspend) explains a Delivery that wants nothing yet, but does not unsettle one that holds what it should. Deletions held
 * for recovery concern a Delivery only while it is being retired.
 */
export function candidatesOf(facts: DeliveryFacts): readonly Candidate[] {
  const found = facts.delivery.spec.retire === undefined ? deliveringCandidates(facts) : retiringCandidates(facts);
  const rank = (one: Candidate): number => reasonAreas.indexOf(one.area);
  return found.filter((one) => !isDone(one.code)).sort((a, b) => rank(a) - rank(b));
}

function deliveringCandidates(facts: DeliveryFacts): Candidate[] {
  const { delivery } = facts;
  const upstream = upstreamCandidates(facts);
  if (delivery.spec.wanted === undefined) {
    if (upstream.length > 0) return [...upstream, ...planeHolds(facts)];
    const contact = contactCandidates(facts);
    // For a cluster without an agent nothing can be rendered: its secrets could be sealed to nobody.
    const hasAgent = !contact.some((one) => one.code === 'FL_CONTACT_NEVER');
    return [...claimCandidates(facts), ...planeHolds(facts), ...contact, ...(hasAgent ? [nothingWanted(facts)] : [])];
  }
  const standing = upstream.filter((one) => !isResolving(one.code) && !isSwitchedOff(one.code));
  return [...standing, ...claimCandidates(facts), ...frozen(facts), ...agentSide(facts)];
}

function isSwitchedOff(code: string): boolean {
  return code === 'FL_HOLD_SUSPENDED' || code === 'FL_SOURCE_SUSPENDED';
}

/** What the source and the Application say about themselves. */
function upstreamCandidates({ application, source, delivery }: DeliveryFacts): Candidate[] {
  const found: Candidate[] = [];
  // The repository's own reason is about its own ref; an Application with another ref says itself what is wrong with that.
  for (const object of application?.spec.source.ref === undefined ? [application, source] : [application]) {
    const said = object === undefined ? undefined : ownReason(object);
    if (said !== undefined && !found.some((one) => one.code === said.code)) found.push(said);
  }
  if (application?.spec.suspend === true && !found.some((one) => one.code === 'FL_HOLD_SUSPENDED'))
    found.push(
      candidate('FL_HOLD_SUSPENDED', suspended(`application/${delivery.spec.application}`, delivery.metadata.namespace)),
    );
  return found;
}

const upstreamAreas: readonly ReasonArea[] = ['source', 'render', 'claim', 'hold'];

function ownReason(object: NonNullable<DeliveryFacts['application' | 'source']>): Candidate | undefined {
  // Never its Ready condition: an Application sums up its Deliveries there, and both would quote each other for ever.
  const stored = object.status?.reason;
  const code = stored?.code;
  if (code === undefined || !isReasonCode(code) || isDone(code) || code === 'FL_NO_TARGETS') return undefined;
  const area = areaOf(code);
  return upstreamAreas.includes(area) ? { area, code, args: stored?.args ?? {} } : undefined;
}

function claimCandidates({ project, cluster, delivery, release }: DeliveryFacts): Candidate[] {
  const name = delivery.metadata.namespace ?? '';
  if (project === undefined) return [candidate('FL_CLAIM_PROJECT', { project: name })];
  const found: Candidate[] = [];
  if (cluster !== undefined && !selects(project.spec.clusterSelector, cluster.metadata.labels ?? {}))
    found.push(candidate('FL_CLAIM_CLUSTER', { project: name, cluster: cluster.metadata.name }));
  if (release !== undefined) {
    const { refused } = applyIdentity(project, release.spec.settings);
    if (refused !== undefined) found.push(candidate(refused.code, refused.args));
  }
  return found;
}

function frozen(facts: DeliveryFacts): Candidate[] {
  return facts.frozen ? [candidate('FL_HOLD_FROZEN', {})] : [];
}

/** Holds of the plane on a Delivery that wants nothing yet. */
function planeHolds(facts: DeliveryFacts): Candidate[] {
  return [
    ...frozen(facts),
    ...(facts.cluster?.spec.suspend === true
      ? [candidate('FL_HOLD_SUSPENDED', suspended(`cluster/${facts.delivery.spec.cluster}`))]
      : []),
  ];
}

function nothingWanted({ application, delivery }: DeliveryFacts): Candidate {
  const commit = application?.status?.commit;
  if (commit !== undefined) return candidate('FL_RENDER_PENDING', { commit: commit.slice(0, 12) });
  const ref = application?.spec.source.sourceRef;
  return candidate('FL_SOURCE_PENDING', {
    source: ref === undefined ? delivery.spec.application : `${ref.kind} ${ref.name}`,
  });
}

function contactCandidates({ cluster, contact, delivery, lane }: DeliveryFacts): Candidate[] {
  const name = delivery.spec.cluster;
  if (cluster?.status?.agent === undefined) return [candidate('FL_CONTACT_NEVER', { cluster: name })];
  if (contact.state === 'lost') {
    const since = contact.lastMs === undefined ? 'before the plane started' : secondsOf(contact.lastMs);
    return [candidate('FL_CONTACT_LOST', { cluster: name, since })];
  }
  const wrong = lane?.agent.find((reason) => reason.code === 'FL_CONTACT_WRONG_CLUSTER');
  return wrong === undefined ? [] : [fromAgent(wrong, delivery)];
}

function secondsOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

/** Contact, and what the agent says if there is contact. */
function agentSide(facts: DeliveryFacts): Candidate[] {
  const contact = contactCandidates(facts);
  if (contact.length > 0) return contact;
  if (facts.lane === undefined) return stored(facts);
  const { report } = facts;
  const wanted = facts.delivery.spec.wanted;
  if (report === undefined || wanted === undefined || !isAbout(report, facts.delivery)) return [notYet(facts)];
  const found = reportCandidates(report, facts);
  const { reason } = facts.delivery.status ?? {};
  if (reason === undefined || !isRetry(facts)) return found;
  const tried = { area: areaOfCode(reason.code), code: reason.code, args: reason.args };
  return [tried, ...found.filter((one) => one.code !== 'FL_CONTACT_PENDING')];
}

/**
 * Whether the agent only tries again what was refused: it is on its way to the same, has nothing else to say, and has not
 * come further than before. Until it has, what was refused is.
 */
export function isRetry({ delivery, report, lane, contact }: DeliveryFacts): boolean {
  const { status } = delivery;
  const code = status?.reason?.code;
  if (code === undefined || lane === undefined || contact.state === 'lost') return false;
  if (delivery.spec.retire !== undefined || report === undefined || !isAbout(report, delivery)) return false;
  return (
    status?.phase === 'Blocked' &&
    status.observedGeneration === delivery.metadata.generation &&
    retriedAreas.has(areaOfCode(code)) &&
    !isResolving(code) &&
    !planeCodes.has(code) &&
    underWay.has(report.phase) &&
    (report.reason === undefined || underWayCodes.has(report.reason.code)) &&
    report.objects.applied <= (status.objects?.applied ?? 0)
  );
}

const retriedAreas: ReadonlySet<ReasonArea> = new Set(['claim', 'hold', 'apply']);
const underWay: ReadonlySet<string> = new Set<DeliveryReport['phase']>(['fetching', 'planning', 'applying', 'pruning']);
const underWayCodes: ReadonlySet<string> = new Set<ReasonCode>(['FL_APPLYING', 'FL_PRUNING']);

/** Whether a report is about exactly what the Delivery wants. */
export function isAbout(report: DeliveryReport, delivery: Delivery): boolean {
  const { wanted } = delivery.spec;
  return (
    wanted !== undefined &&
    report.number === wanted.number &&
    report.release === wanted.release &&
    report.bundle === wanted.bundle
  );
}

/** The agent holds something else: it refuses the desired state, or has not come for it yet. */
function notYet({ delivery, lane }: DeliveryFacts): Candidate {
  const cluster = delivery.spec.cluster;
  const refusal = lane?.agent.find((reason) => reason.code.startsWith('FL_DOCUMENT_'));
  if (refusal !== undefined) return candidate('FL_CONTACT_REFUSED', { cluster, words: say(refusal) });
  return candidate('FL_CONTACT_PENDING', { cluster, release: delivery.spec.wanted?.release });
}

/** Until the agent has sent its state to a plane that just started, the stored verdict on the same release stands. */
function stored({ delivery, release, ...facts }: DeliveryFacts): Candidate[] {
  const { wanted } = delivery.spec;
  const { status } = delivery;
  const isSame =
    status !== undefined &&
    wanted !== undefined &&
    status.journey?.release === wanted.release &&
    status.observedGeneration === delivery.metadata.generation;
  if (!isSame) return [notYet({ delivery, release, ...facts })];
  const code = status.reason?.code;
  if (code !== undefined && !planeCodes.has(code) && !['source', 'render', 'done'].includes(areaOfCode(code)))
    return code === 'FL_CONTACT_LOST' || code === 'FL_CONTACT_NEVER'
      ? [notYet({ delivery, release, ...facts })]
      : [{ area: areaOfCode(code), code, args: status.reason?.args ?? {} }];
  const isHeld = status.applied?.release === wanted.release && status.applied.bundle === wanted.bundle;
  return isHeld && status.phase === 'Healthy' ? [] : [notYet({ delivery, release, ...facts })];
}

/** What the agent says of the wanted (release, bundle). */
function reportCandidates(report: DeliveryReport, facts: DeliveryFacts): Candidate[] {
  const { delivery } = facts;
  const wanted = delivery.spec.wanted;
  const base = { cluster: delivery.spec.cluster, release: report.release };
  const { total, applied, healthy, failed, drifted } = report.objects;
  const found: Candidate[] = report.reason === undefined ? [] : [fromAgent(report.reason, delivery)];
  for (const problem of report.problems) found.push({ ...fromAgent(problem.reason, delivery), object: problem.id });
  const standing = found.filter((one) => !isDone(one.code));
  const says = (...areas: readonly ReasonArea[]): boolean => standing.some((one) => areas.includes(one.area));

  switch (report.phase) {
    case 'fetching':
    case 'retiring':
    case 'absent':
      standing.push(notYet(facts));
      break;
    case 'planning':
    case 'applying':
      standing.push(candidate('FL_APPLYING', { ...base, applied, total }));
      break;
    case 'pruning':
      standing.push(candidate('FL_PRUNING', base));
      break;
    case 'blocked':
      if (!says('claim', 'hold', 'apply', 'contact'))
        standing.push(
          candidate('FL_APPLY_FAILED', {
            ...base,
            object: `release ${report.release}`,
            words: 'the agent does not say why',
            retry: 'by itself',
          }),
        );
      break;
    case 'settling':
      if (!says('health') || report.health === 'healthy') standing.push(settling());
      break;
    case 'steady':
      break;
  }
  if (report.phase === 'steady') {
    const isComplete = report.applied?.release === wanted?.release && report.applied?.bundle === wanted?.bundle;
    if (!isComplete) standing.push(candidate('FL_APPLYING', { ...base, applied, total }));
    else if (failed > 0 && !says('claim', 'hold', 'apply'))
      standing.push(
        candidate('FL_APPLY_FAILED', {
          ...base,
          object: `${failed} of ${total} objects`,
          words: 'refused',
          retry: 'by itself',
        }),
      );
  }
  if (report.phase === 'steady' && !says('health')) {
    if (report.health === 'degraded')
      standing.push(
        candidate('FL_HEALTH_FAILED', {
          ...base,
          object: `release ${report.release}`,
          words: `${healthy} of ${total} objects are healthy`,
        }),
      );
    else if (report.health !== 'healthy') standing.push(settling());
  }
  if (report.phase === 'steady' && drifted > 0 && !says('drift'))
    standing.push(
      candidate('FL_DRIFT_FOUND', {
        ...base,
        object: `${drifted} of ${total} objects`,
        fields: 'fields',
        manager: 'somebody',
        at: report.times.appliedAt,
      }),
    );
  return standing;

  function settling(): Candidate {
    return candidate('FL_HEALTH_SETTLING', { ...base, healthy, total });
  }
}

function retiringCandidates(facts: DeliveryFacts): Candidate[] {
  const { delivery, cluster, report } = facts;
  const { retire } = delivery.spec;
  const contact = contactCandidates(facts);
  const said =
    contact.length > 0 || report === undefined
      ? []
      : [...(report.reason === undefined ? [] : [report.reason]), ...report.problems.map((problem) => problem.reason)]
          .map((reason) => fromAgent(reason, delivery))
          .filter((one) => one.area === 'hold' || one.area === 'apply');
  const recovery = cluster?.status?.recovery;
  const held =
    recovery === undefined || retire?.mode !== 'Delete'
      ? []
      : [
          candidate('FL_HOLD_RECOVERY', {
            cluster: delivery.spec.cluster,
            position: `${recovery.adopted.epoch}.${recovery.adopted.seq}`,
          }),
        ];
  return [
    ...frozen(facts),
    ...held,
    ...contact,
    ...said,
    candidate('FL_RETIRING', {
      application: delivery.spec.application,
      cluster: delivery.spec.cluster,
      mode: retire?.mode,
    }),
  ];
}

/** A reason of the agent, with the arguments that the plane knows better: what the waiver would be for, and names. */
export function fromAgent(reason: WireReason, delivery: Delivery): Candidate {
  const known: Readonly<Record<string, unknown>> = {
    cluster: delivery.spec.cluster,
    application: delivery.spec.application,
    delivery: delivery.metadata.name,
    project: delivery.metadata.namespace,
    waiver: delivery.spec.retire?.id ?? delivery.spec.wanted?.bundle,
  };
  const args: Record<string, unknown> = { ...reason.args };
  for (const name of argumentsOf(reason.code)) {
    if (Object.hasOwn(known, name) && known[name] !== undefined) args[name] = known[name];
  }
  return { area: areaOfCode(reason.code), code: reason.code, args };
}
