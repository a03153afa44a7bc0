import { getIn, isRecord, itemsOf, numberOf, own, textOf, type KubeObject } from './objects.ts';
import { redactMessage } from './redact.ts';

/** What keeps pods from running, the most telling first. */
export const WORKLOAD_PROBLEMS = [
  'ImagePull',
  'ConfigError',
  'CrashLoop',
  'OutOfMemory',
  'ContainerExited',
  'Unschedulable',
  'VolumePending',
  'Evicted',
  'ProbeFailing',
  'Starting',
] as const;

export type WorkloadProblem = (typeof WORKLOAD_PROBLEMS)[number];

/** The arguments of the sentence about an unhealthy workload; the sentence itself is said elsewhere. */
export interface WorkloadExplanation {
  readonly problem: WorkloadProblem;
  /** Kubernetes' own word: `CrashLoopBackOff`, `ErrImagePull`, `Unschedulable`, … */
  readonly reason: string;
  /** One pod that has it, by name: the first in order of names. */
  readonly pod: string;
  /** '' where no single container is at fault. */
  readonly container: string;
  readonly image: string;
  /** Kubernetes' own words, redacted, at most 1 KiB. */
  readonly message: string;
  readonly restarts: number;
  /** Of the last end of the container, where it has ended. */
  readonly exitCode: number | undefined;
  /** How many of the pods have this problem, and of how many. */
  readonly affected: number;
  readonly pods: number;
}

type Finding = Omit<WorkloadExplanation, 'affected' | 'pods'>;

/** The one problem that says most about why these pods are not ready; undefined when all are ready or done. Pure. */
export function explainWorkload(pods: readonly KubeObject[]): WorkloadExplanation | undefined {
  const findings = [...pods]
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .flatMap((pod) => {
      const finding = worst(findingsIn(pod));
      return finding === undefined ? [] : [finding];
    });
  const telling = worst(findings);
  if (telling === undefined) return undefined;
  return { ...telling, affected: findings.filter((f) => f.problem === telling.problem).length, pods: pods.length };
}

function worst(findings: readonly Finding[]): Finding | undefined {
  return WORKLOAD_PROBLEMS.map((problem) => findings.find((f) => f.problem === problem)).find((f) => f !== undefined);
}

function findingsIn(pod: KubeObject): Finding[] {
  const status = pod['status'];
  const phase = textOf(own(status, 'phase')) ?? '';
  if (phase === 'Succeeded' || pod.metadata.deletionTimestamp !== undefined) return [];
  const about = (problem: WorkloadProblem, reason: string, message: string, container?: unknown): Finding => ({
    problem,
    reason,
    pod: pod.metadata.name,
    container: textOf(own(container, 'name')) ?? '',
    image: textOf(own(container, 'image')) ?? '',
    message: redactMessage(message),
    restarts: numberOf(own(container, 'restartCount')) ?? 0,
    exitCode:
      numberOf(getIn(container, 'lastState', 'terminated', 'exitCode')) ??
      numberOf(getIn(container, 'state', 'terminated', 'exitCode')),
  });
  const findings: Finding[] = [];
  for (const field of ['initContainerStatuses', 'containerStatuses']) {
    for (const container of itemsOf(own(status, field))) {
      const finding = containerFinding(container, about);
      if (finding !== undefined) findings.push(finding);
    }
  }
  if (phase === 'Failed') {
    const reason = textOf(own(status, 'reason')) ?? 'Failed';
    findings.push(about('Evicted', reason, textOf(own(status, 'message')) ?? ''));
  }
  for (const condition of itemsOf(own(status, 'conditions'))) {
    if (!isRecord(condition) || condition['status'] !== 'False') continue;
    const message = textOf(condition['message']) ?? '';
    if (condition['type'] === 'PodScheduled' && condition['reason'] === 'Unschedulable') {
      const isVolume = /persistentvolumeclaim|volume node affinity/i.test(message);
      findings.push(about(isVolume ? 'VolumePending' : 'Unschedulable', 'Unschedulable', message));
    }
    if (condition['type'] === 'Ready' && phase === 'Running') {
      const waiting = itemsOf(own(status, 'containerStatuses')).find((c) => own(c, 'ready') !== true);
      findings.push(about('ProbeFailing', textOf(condition['reason']) ?? 'ContainersNotReady', message, waiting));
    }
  }
  if (phase === 'Pending' && findings.length === 0) findings.push(about('Starting', 'Pending', ''));
  return findings;
}

function containerFinding(
  container: unknown,
  about: (problem: WorkloadProblem, reason: string, message: string, container: unknown) => Finding,
): Finding | undefined {
  const waiting = getIn(container, 'state', 'waiting');
  const reason = textOf(own(waiting, 'reason')) ?? '';
  const message = textOf(own(waiting, 'message')) ?? '';
  const ended = getIn(container, 'lastState', 'terminated') ?? getIn(container, 'state', 'terminated');
  if (
    [
      'ErrImagePull',
      'ImagePullBackOff',
      'InvalidImageName',
      'ErrImageNeverPull',
      'ImageInspectError',
      'RegistryUnavailable',
    ].includes(reason)
  ) {
    return about('ImagePull', reason, message, container);
  }
  if (['CreateContainerConfigError', 'CreateContainerError', 'RunContainerError', 'PostStartHookError'].includes(reason)) {
    return about('ConfigError', reason, message, container);
  }
  if (own(ended, 'reason') === 'OOMKilled' && own(container, 'ready') !== true) {
    return about('OutOfMemory', 'OOMKilled', message || (textOf(own(ended, 'message')) ?? ''), container);
  }
  if (reason === 'CrashLoopBackOff') return about('CrashLoop', reason, textOf(own(ended, 'message')) ?? message, container);
  const exitCode = numberOf(getIn(container, 'state', 'terminated', 'exitCode'));
  if (exitCode !== undefined && exitCode !== 0) {
    return about(
      'ContainerExited',
      textOf(getIn(container, 'state', 'terminated', 'reason')) ?? 'Error',
      textOf(own(ended, 'message')) ?? '',
      container,
    );
  }
  return undefined;
}
