import {
  Delivery,
  deliveryName,
  LOOK_CAPABILITY,
  reason,
  say,
  type LiveObjectView,
  type Look,
  type LookAnswer,
  type LookDifference,
  type LookTarget,
  type ObjectIdentity,
  type ReasonArgs,
  type ReasonCode,
} from '#api';
import { identityOf, readBundles } from './bundles.ts';
import type { DetailSources } from './detail-views.ts';

/** Asks the agent of a cluster to show a live object; from the agents room. `isSealed`: no value of it may be shown, whatever its kind. */
export type LookAt = (
  cluster: string,
  target: LookTarget,
  options: { readonly isSealed: boolean; readonly by: string; readonly signal: AbortSignal },
) => Promise<Look>;

export interface LiveSources extends DetailSources {
  readonly look: LookAt;
}

/** The live object as its agent shows it now, or why not. Undefined: the delivery wants no such object. */
export async function liveObjectView(
  from: LiveSources,
  ref: { readonly project: string; readonly application: string; readonly cluster: string },
  id: Pick<ObjectIdentity, 'group' | 'kind' | 'namespace' | 'name'>,
  asking: { readonly by: string; readonly signal: AbortSignal },
): Promise<LiveObjectView | undefined> {
  const { project, application, cluster } = ref;
  const delivery = await from.store.get(Delivery, { namespace: project, name: deliveryName(application, cluster) });
  const wanted = delivery?.spec.wanted;
  if (wanted === undefined) return undefined;
  const entries = (await readBundles(from.store, [wanted.bundle])).get(wanted.bundle);
  const entry = entries?.find((one) => identityOf(one.id) === identityOf(id));
  if (entry === undefined) return undefined;
  const isSealed = entry.sealed !== undefined;
  const look = await from.look(cluster, { project, application, object: entry.id }, { isSealed, ...asking });
  const { code, args } = verdictOn(look, {
    cluster,
    application,
    release: wanted.release,
    last: from.reports.lastContact(cluster) ?? 'never',
    isOnce: entry.createOnly === true,
  });
  const shown = shownBy(look);
  // By path: an agent that names one twice says nothing more by that.
  const byPath = new Map((shown?.differences ?? []).map((one) => [one.path, one]));
  const differences = [...byPath.values()].map(({ path, kind, verdict, want, live, manager, at }) => ({
    path,
    kind,
    verdict,
    want,
    live,
    manager,
    at,
  }));
  return {
    at: from.now(),
    state: stateOf(code),
    code,
    sentence: say(reason(code, args, from.now())),
    seenAt: shown?.seenAt,
    release: shown?.release,
    differences,
    more: shown?.more ?? 0,
    live:
      shown?.manifest === undefined
        ? undefined
        : from.manifests.marked(Buffer.from(shown.manifest), shown.git ?? [], (shown.differences ?? []).flatMap(driftAt)),
    isCut: shown?.isCut === true,
    wanted: shown?.wanted === undefined ? undefined : from.manifests.toYaml(Buffer.from(shown.wanted)),
  };
}

function driftAt({ verdict, pointer }: LookDifference): string[] {
  return verdict === 'drift' && pointer !== undefined ? [pointer] : [];
}

/** What is there to show: what was seen now, or else within the last minute. */
function shownBy({ outcome, before }: Look): LookAnswer | undefined {
  return outcome.is === 'answered' && outcome.answer.is !== 'refused' ? outcome.answer : before;
}

function stateOf(code: ReasonCode): LiveObjectView['state'] {
  switch (code) {
    case 'FL_LOOK_SAME':
    case 'FL_LOOK_LEFT':
      return 'same';
    case 'FL_LOOK_DIFFERS':
      return 'differs';
    case 'FL_LOOK_UNCOMPARED':
    case 'FL_LOOK_ONCE':
      return 'shown';
    case 'FL_LOOK_ABSENT':
      return 'absent';
    default:
      return 'unavailable';
  }
}

const refusals = {
  off: 'FL_LOOK_OFF',
  unknown: 'FL_LOOK_UNKNOWN',
  forbidden: 'FL_LOOK_FORBIDDEN',
  busy: 'FL_LOOK_BUSY',
  failed: 'FL_LOOK_FAILED',
} as const;

interface About {
  readonly cluster: string;
  readonly application: string;
  readonly release: string;
  readonly last: string;
  readonly isOnce: boolean;
}

function verdictOn({ outcome }: Look, about: About): { readonly code: ReasonCode; readonly args: ReasonArgs } {
  const { isOnce: _how, ...args } = about;
  switch (outcome.is) {
    case 'wrong':
      return { code: 'FL_LOOK_WRONG', args };
    case 'silent':
      return { code: 'FL_LOOK_SILENT', args: { ...args, seconds: String(Math.round(outcome.waitedMs / 1000)) } };
    case 'lost':
      return { code: 'FL_LOOK_LOST', args };
    case 'old':
      return { code: 'FL_LOOK_OLD', args: { ...args, capability: String(outcome.capability), needed: String(LOOK_CAPABILITY) } };
    case 'frozen':
      return { code: 'FL_LOOK_FROZEN', args };
    case 'busy':
      return { code: 'FL_LOOK_BUSY', args };
    case 'answered':
      return { code: codeOf(outcome.answer, about.isOnce), args: { ...args, ...argsOf(outcome.answer) } };
  }
}

function codeOf(answer: LookAnswer, isOnce: boolean): ReasonCode {
  switch (answer.is) {
    case 'refused':
      return refusals[answer.refusal ?? 'failed'];
    case 'absent':
      return 'FL_LOOK_ABSENT';
    case 'live': {
      if (answer.release === undefined) return isOnce ? 'FL_LOOK_ONCE' : 'FL_LOOK_UNCOMPARED';
      const differences = answer.differences ?? [];
      if (differences.some((one) => one.verdict === 'drift')) return 'FL_LOOK_DIFFERS';
      return differences.length > 0 ? 'FL_LOOK_LEFT' : 'FL_LOOK_SAME';
    }
  }
}

function argsOf({ release, differences = [], more = 0, words }: LookAnswer): ReasonArgs {
  const fields = differences.filter((one) => one.verdict === 'drift').length + more;
  return {
    ...(release === undefined ? {} : { release }),
    ...(words === undefined ? {} : { words }),
    fields: fields === 1 ? 'one field' : `${fields} fields`,
  };
}
