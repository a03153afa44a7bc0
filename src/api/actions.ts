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
 * else is a look closer. Arguments come from reports too, so each is quoted for a shell.
 */
export function actionFor({ code, args, project, application, cluster }: ActionSubject): ReasonAction {
  const inProject = project === 'default' || project === '' ? '' : ` -n ${quote(project)}`;
  const text = (name: string): string => (typeof args[name] === 'string' ? quote(args[name]) : '');
  const onCluster = cluster === undefined ? '' : ` ${quote(cluster)}`;
  switch (code) {
    case 'FL_CONTACT_NEVER':
      if (cluster !== undefined) return { words: 'enrol its agent', command: `fairlead enroll${onCluster}` };
      break;
    case 'FL_CONTACT_LOST':
    case 'FL_CONTACT_REFUSED':
    case 'FL_CONTACT_TWIN':
    case 'FL_CONTACT_WRONG_CLUSTER':
      if (cluster !== undefined) return { words: 'look at the cluster', command: `fairlead why cluster/${quote(cluster)}` };
      break;
    case 'FL_HOLD_SUSPENDED':
    case 'FL_SOURCE_SUSPENDED': {
      const target = text(code === 'FL_HOLD_SUSPENDED' ? 'object' : 'source');
      if (target !== '') return { words: 'resume it', command: `fairlead resume ${target}${inProject}` };
      break;
    }
    case 'FL_HOLD_BUDGET':
    case 'FL_HOLD_PROTECTED':
      if (text('waiver') !== '' && application !== undefined && cluster !== undefined) {
        return {
          words: 'waive it, if that is meant',
          command: `kubectl annotate --overwrite delivery ${quote(`${application}.${cluster}`)} -n ${quote(project)} fairlead.dev/waiver=${text('waiver')}`,
        };
      }
      break;
    case 'FL_HOLD_RECOVERY':
      if (text('position') !== '' && cluster !== undefined) {
        return {
          words: 'confirm, once checked',
          command: `kubectl annotate --overwrite cluster${onCluster} fairlead.dev/confirm-recovery=${text('position')}`,
        };
      }
      break;
    case 'FL_HOLD_FROZEN':
      return { words: 'accept this database', command: 'fairlead plane adopt' };
    default:
  }
  if (application === undefined)
    return { words: 'look closer', command: `fairlead why cluster/${cluster === undefined ? '' : quote(cluster)}` };
  // What resolves itself needs no second look from anybody.
  const area = isReasonCode(code) && !actorOf(code).startsWith('nobody') ? areaOf(code) : undefined;
  if (area === 'source' || area === 'render') {
    return {
      words: 'look again after the correction',
      command: `fairlead reconcile application/${quote(application)}${inProject}`,
    };
  }
  return { words: 'look closer', command: `fairlead why ${quote(application)}${onCluster}${inProject}` };
}

/** A word of a shell command: names stay as they are, everything else is quoted. */
function quote(word: string): string {
  return /^[\w./:@-]+$/.test(word) && !word.startsWith('-') ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
