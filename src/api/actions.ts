import { actorOf, areaOf, isReasonCode, type ReasonArgs } from './reasons.ts';

/** What somebody may do about a reason: a few words, and the command that does it. */
export interface ReasonAction {
  readonly words: string;
  readonly command: string;
}

export interface ActionSubject {
  readonly code: string;
  readonly args: ReasonArgs;
  readonly project: string;
  /** Absent where the reason is about a cluster. */
  readonly application?: string;
  readonly cluster?: string;
}

/**
 * The one action beside a problem. What changes something is only offered where the reason itself asks for it; everything
 * else is a look closer. Commands of a cluster's own take `--context <cluster>`. Arguments come from reports too, so each is
 * quoted for a shell.
 */
export function actionFor(given: ActionSubject): ReasonAction {
  // An Application is stuck for what one of its clusters says, and its reason names that cluster.
  const cluster = given.cluster ?? textOf(given.args['cluster']);
  const subject = cluster === '' ? given : { ...given, cluster };
  return ofTheReason(subject) ?? ofItsArea(subject);
}

function ofTheReason(subject: ActionSubject): ReasonAction | undefined {
  const { code, project, application, cluster } = subject;
  const given = (name: string): string => textOf(subject.args[name]);
  const named = (name: string): string => shellWord(given(name));
  switch (code) {
    case 'FL_CONTACT_NEVER':
      return cluster === undefined ? undefined : { words: 'enrol its agent', command: `fairlead enroll ${shellWord(cluster)}` };
    case 'FL_APPLY_SECRET':
      return cluster === undefined ? undefined : { words: 'enrol it again', command: `fairlead enroll ${shellWord(cluster)}` };
    case 'FL_CONTACT_REFUSED':
      return cluster === undefined
        ? undefined
        : { words: 'see what it says', command: `kubectl describe cluster ${shellWord(cluster)}` };
    case 'FL_CONTACT_LOST':
    case 'FL_CONTACT_TWIN':
    case 'FL_CONTACT_WRONG_CLUSTER':
      return cluster === undefined ? undefined : lookAtCluster(cluster);
    case 'FL_HOLD_SUSPENDED':
    case 'FL_SOURCE_SUSPENDED':
      return given('object') === ''
        ? undefined
        : { words: 'resume it', command: `fairlead resume ${named('object')}${inProject(project)}` };
    case 'FL_HOLD_BUDGET':
    case 'FL_HOLD_PROTECTED':
    case 'FL_HOLD_HOOK':
      return given('waiver') === '' || application === undefined || cluster === undefined
        ? undefined
        : {
            words: 'waive it, if that is meant',
            command: `kubectl annotate --overwrite delivery ${shellWord(`${application}.${cluster}`)} -n ${shellWord(project)} fairlead.dev/waiver=${named('waiver')}`,
          };
    case 'FL_HOLD_PLANE':
      return given('waiver') === '' || application === undefined
        ? undefined
        : {
            words: 'waive it, if that is meant',
            command: `kubectl annotate --overwrite application ${shellWord(application)} -n ${shellWord(project)} fairlead.dev/waiver=${named('waiver')}`,
          };
    case 'FL_HOLD_RECOVERY':
    case 'FL_RECOVERY_STARTED':
      return given('position') === '' || cluster === undefined
        ? undefined
        : {
            words: 'confirm, once checked',
            command: `kubectl annotate --overwrite cluster ${shellWord(cluster)} fairlead.dev/confirm-recovery=${named('position')}`,
          };
    case 'FL_HOLD_FROZEN':
      return { words: 'accept this database', command: 'fairlead plane adopt' };
    case 'FL_RENDER_NOT_LOCKED':
      return application === undefined
        ? undefined
        : {
            words: 'take what is there now',
            command: `fairlead reconcile ${shellWord(application)} --refresh${inProject(project)}`,
          };
    case 'FL_NO_TARGETS':
      return { words: 'compare the labels', command: 'kubectl get clusters --show-labels' };
    case 'FL_HOLD_DEPENDENCY':
      return given('dependency') === '' || cluster === undefined
        ? undefined
        : {
            words: 'look at what it waits for',
            command: `fairlead why ${named('dependency')} ${shellWord(cluster)}${inProject(project)}`,
          };
    case 'FL_SOURCE_MOVED':
      return given('source') === '' || given('now') === ''
        ? undefined
        : {
            words: 'accept it, if that is meant',
            command: `kubectl annotate --overwrite chartrepository ${named('source')} -n ${shellWord(project)} fairlead.dev/accept-moved=${named('now')}`,
          };
    case 'FL_SOURCE_DENIED':
    case 'FL_SOURCE_HOST_KEY':
      // "(none is given)" is no name.
      return /^[a-z0-9.-]+$/.test(given('credential'))
        ? { words: 'correct the credential', command: `kubectl edit credential ${named('credential')} -n ${shellWord(project)}` }
        : undefined;
    case 'FL_SOURCE_FORBIDDEN':
    case 'FL_CLAIM_NAMESPACE':
    case 'FL_CLAIM_KIND':
    case 'FL_CLAIM_SERVICE_ACCOUNT':
    case 'FL_CLAIM_NO_SERVICE_ACCOUNT':
    case 'FL_CLAIM_PLANE':
    case 'FL_CLAIM_CLUSTER':
      return { words: 'allow it in the Project, if that is meant', command: `kubectl edit project ${shellWord(project)}` };
    case 'FL_CLAIM_FOREIGN':
      return patched(subject, 'take it over, if that is meant', { adoption: 'Always' });
    case 'FL_CLAIM_EXISTS':
      return patched(subject, 'take it over, if that is meant', { adoption: 'IfUnowned' });
    case 'FL_CLAIM_CONFLICT': {
      const [ownerProject = '', owner = ''] = given('owner').split('/').map(textOf);
      return owner === '' || cluster === undefined
        ? undefined
        : {
            words: 'look at who keeps it',
            command: `fairlead why ${shellWord(owner)} ${shellWord(cluster)}${inProject(ownerProject)}`,
          };
    }
    case 'FL_HOOK_FAILED':
      return again(subject, 'let it run again');
    case 'FL_APPLY_QUOTA':
      return inCluster(subject, 'see the quota', ({ namespace }) => (namespace === '' ? undefined : 'describe resourcequota'));
    case 'FL_HEALTH_CRASH_LOOP':
      return given('pod') === '' || given('container') === ''
        ? undefined
        : inCluster(subject, 'read its last words', () => `logs ${named('pod')} -c ${named('container')} --previous`);
    case 'FL_HEALTH_IMAGE':
    case 'FL_HEALTH_UNSCHEDULABLE':
    case 'FL_HEALTH_FAILED':
      return inCluster(subject, 'see its events', ({ kind, name }) =>
        given('pod') === '' ? `describe ${shellWord(kind.toLowerCase())} ${shellWord(name)}` : `describe pod ${named('pod')}`,
      );
    case 'FL_APPLY_CONFLICT':
    case 'FL_DRIFT_FIGHT':
      return application === undefined
        ? undefined
        : {
            words: 'leave the field to them (spec.drift.ignore)',
            command: `kubectl edit application ${shellWord(application)} -n ${shellWord(project)}`,
          };
    case 'FL_DRIFT_FOUND':
    case 'FL_DRIFT_MISSING':
      return patched(subject, 'put it back, now and from now on', { drift: { mode: 'Correct' } });
    default:
      return undefined;
  }
}

/** Where a reason has no action of its own: what comes after the correction, or a look closer. */
function ofItsArea(subject: ActionSubject): ReasonAction {
  const { code, project, application, cluster } = subject;
  if (application === undefined) return lookAtCluster(cluster ?? '');
  // What resolves itself needs no second look from anybody.
  const area = isReasonCode(code) && !actorOf(code).startsWith('nobody') ? areaOf(code) : undefined;
  if (area === 'source' || area === 'render' || area === 'claim' || area === 'apply') {
    const tried = again(subject, 'try again after the correction');
    if (tried !== undefined) return tried;
  }
  const at = cluster === undefined ? '' : ` ${shellWord(cluster)}`;
  return { words: 'look closer', command: `fairlead why ${shellWord(application)}${at}${inProject(project)}` };
}

function lookAtCluster(cluster: string): ReasonAction {
  return { words: 'look at the cluster', command: `fairlead why cluster/${shellWord(cluster)}` };
}

function again({ project, application }: ActionSubject, words: string): ReasonAction | undefined {
  if (application === undefined) return undefined;
  return { words, command: `fairlead reconcile application/${shellWord(application)}${inProject(project)}` };
}

function patched({ project, application }: ActionSubject, words: string, spec: unknown): ReasonAction | undefined {
  if (application === undefined) return undefined;
  return {
    words,
    command: `kubectl patch application ${shellWord(application)} -n ${shellWord(project)} --type merge -p ${shellWord(JSON.stringify({ spec }))}`,
  };
}

/** A command for the cluster itself, about the object that the reason names: "Deployment shop/web", not "release web.3". */
function inCluster(
  { args, cluster }: ActionSubject,
  words: string,
  command: (object: { readonly kind: string; readonly namespace: string; readonly name: string }) => string | undefined,
): ReasonAction | undefined {
  const [, kind = '', namespace = '', name = ''] =
    /^([A-Z]\w*) (?:([^\s/-][^\s/]*)\/)?([^\s/-][^\s/]*)$/.exec(textOf(args['object'])) ?? [];
  const asked = name === '' ? undefined : command({ kind, namespace, name });
  if (asked === undefined || cluster === undefined) return undefined;
  return {
    words,
    command: `kubectl ${asked}${namespace === '' ? '' : ` -n ${shellWord(namespace)}`} --context ${shellWord(cluster)}`,
  };
}

function inProject(project: string): string {
  return project === 'default' || project === '' ? '' : ` -n ${shellWord(project)}`;
}

/**
 * '' for what is no text, would be read as an option, or holds what a terminal takes for a key (pasted, ^C ends a line whether or
 * not it is quoted) or shows as another text than it is.
 */
function textOf(value: unknown): string {
  return typeof value === 'string' && !value.startsWith('-') && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value) ? value : '';
}

/** A word for a shell command: names stay as they are, everything else is quoted. */
export function shellWord(word: string): string {
  return /^[\w./:@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
