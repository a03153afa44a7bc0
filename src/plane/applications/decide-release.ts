import { isDeepStrictEqual } from 'node:util';
import { rfc3339, type Log, type NewId } from '#base';
import { Application, commitsOf, Release, releaseName, RenderRow, type UntimedReason } from '#api';
import type { ReconcileContext, ReconcileResult } from '#plane/engine';
import type { Transaction, Write } from '#plane/store';
import type { Renderer } from '#render';
import { lookedAtFiles, releasedFiles, type FoundSource } from './application-source.ts';
import { withStanding, type ApplicationStatus } from './application-status.ts';
import { ACTOR, DELIVERIES_FINALIZER } from './names.ts';
import { asRead, newObject, withSpec } from './new-object.ts';
import { noticesOf } from './pins.ts';
import { isNews, nextNumber, outdatedReleases, type ReleaseContent } from './plan-release.ts';
import type { Found, Subject } from './release-subject.ts';
import { deliveriesOf } from './shadow.ts';
import { contentFirst, planContent } from './stage-content.ts';
import { nothingStaged } from './staged.ts';

export interface DecisionOptions {
  readonly renderer: Pick<Renderer, 'version'>;
  readonly newId: NewId;
  readonly log: Log;
  /** Releases kept per Application beside those in use; default 20. */
  readonly keptReleases?: number;
  /** While clusters come and go, at most one Release per this many ms; default 1,000. A new commit never waits. */
  readonly fleetReleaseMs?: number;
}

export interface Decision {
  readonly result: ReconcileResult;
  readonly released?: number;
}

/** A new Release, where what was found is news; else what is worth writing down of the look. */
export async function decideRelease(
  subject: Subject,
  found: Found,
  options: DecisionOptions,
  context: ReconcileContext,
): Promise<Decision> {
  const { application, newest, memory } = subject;
  const { content, source } = found;
  if (content === undefined || source === undefined || !isNews(content, newest))
    return { result: quietly(subject, found, options, context) };
  const waitMs = memory.releasedAtMs + (options.fleetReleaseMs ?? 1_000) - context.clock.now();
  const commits = [source.snapshot.commit, ...source.files.map(({ snapshot }) => snapshot.commit)];
  const isFleetOnly =
    newest !== undefined &&
    isDeepStrictEqual(
      commitsOf(newest).map(({ commit }) => commit),
      commits,
    ) &&
    newest.spec.applicationGeneration === application.metadata.generation;
  if (isFleetOnly && waitMs > 0) return { result: { againMs: waitMs } };
  const prepared = await planContent(memory.staged, content.bundles, newest?.spec.bundles ?? [], context.read);
  if ('missing' in prepared) {
    const { name, namespace } = application.metadata;
    options.log.warn(
      { application: name, namespace, digest: prepared.missing },
      'a bundle is gone from the store; it is rendered again',
    );
    memory.trees = [];
    memory.staged = nothingStaged();
    return { result: { againMs: 0 } };
  }
  const { number, transaction } = await newRelease(subject, content, source, found.reason, options, context);
  return { result: { chunks: contentFirst(prepared.chunks, transaction) }, released: number };
}

async function newRelease(
  subject: Subject,
  content: ReleaseContent,
  { snapshot, files }: FoundSource,
  reason: UntimedReason | undefined,
  options: DecisionOptions,
  context: ReconcileContext,
): Promise<{ readonly number: number; readonly transaction: Transaction }> {
  const { application, memory } = subject;
  const nowMs = context.clock.now();
  const { namespace = '', name, uid, generation } = application.metadata;
  const deliveries = await deliveriesOf(application, context.read);
  const number = nextNumber(application, memory.numbers, deliveries);
  const key = { namespace, name: releaseName(name, number) };
  const { chart, sourceRef } = application.spec.source;
  const { kind, name: sourceName } = sourceRef;
  const { commit, committedAt, author, subject: title, version } = snapshot;
  const spec: Release['spec'] = {
    application: name,
    applicationUid: uid,
    applicationGeneration: generation,
    number,
    source: {
      kind,
      name: sourceName,
      commit,
      committedAt,
      ...(author === undefined ? {} : { author }),
      ...(title === undefined ? {} : { subject: title }),
      ...(chart === undefined ? {} : { chart }),
      ...(version === undefined ? {} : { version }),
      ...(files.length === 0 ? {} : { files: releasedFiles(files) }),
    },
    rendererVersion: options.renderer.version,
    settings: content.settings,
    settingsDigest: content.settingsDigest,
    bundles: [...content.bundles],
    renderedAt: rfc3339(nowMs),
  };
  const base = lookedAt(
    { ...application.status, release: { name: key.name, number, commit } },
    subject,
    { snapshot, files },
    nowMs,
  );
  const status = withStanding(application, base, { reason, summary: undefined, now: rfc3339(nowMs) });
  const outdated = outdatedReleases(memory.numbers, name, deliveries, options.keptReleases ?? 20).slice(0, 100);
  memory.numbers = memory.numbers.filter((old) => !outdated.includes(old));
  memory.releasedAtMs = nowMs;
  return {
    number,
    transaction: {
      expect: [asRead(Application, application), { kind: Release, key, revision: 'absent' }],
      write: [
        { op: 'put', kind: Release, object: newObject(Release, key, spec, { nowMs, newId: options.newId }) },
        { op: 'put', kind: Application, object: { ...held(application), status } },
        rowWrite(subject, options.newId, nowMs),
        ...outdated.map((old): Write => ({ op: 'delete', kind: Release, key: { namespace, name: releaseName(name, old) } })),
      ],
      audit: {
        actor: ACTOR,
        verb: 'release',
        object: `Release/${namespace}/${key.name}`,
        at: rfc3339(nowMs),
        details: {
          commit,
          ...(files.length === 0 ? {} : { files: files.map(({ snapshot: { commit: other } }) => other) }),
          bundles: content.bundles.length,
        },
      },
    },
  };
}

/** Nothing new to release: at most the commit that was looked at, the reason, and what was learnt about the files. */
function quietly(subject: Subject, found: Found, options: DecisionOptions, context: ReconcileContext): ReconcileResult {
  const { application, memory, row } = subject;
  const nowMs = context.clock.now();
  const former = application.status;
  const seen: ApplicationStatus = { ...former, observedGeneration: application.metadata.generation };
  const base =
    found.source !== undefined
      ? lookedAt(seen, subject, found.source, nowMs)
      : { ...seen, ...(found.snapshot === undefined ? {} : { commit: found.snapshot.commit }) };
  const isSameReason = former?.reason?.code === found.reason?.code && isDeepStrictEqual(former?.reason?.args, found.reason?.args);
  // How far the Deliveries are is for the status controller to say; until then the former conditions stand.
  const status =
    isSameReason && former?.conditions !== undefined
      ? base
      : withStanding(application, base, { reason: found.reason, summary: undefined, now: rfc3339(nowMs) });
  const write: Write[] =
    isDeepStrictEqual(status, former) && held(application) === application
      ? []
      : [{ op: 'put', kind: Application, object: { ...held(application), status } }];
  const isRowNew =
    found.content !== undefined &&
    former?.release !== undefined &&
    !(isDeepStrictEqual(row?.spec.trees, memory.trees) && row?.spec.refreshed === memory.refreshed);
  if (isRowNew) write.push(rowWrite(subject, options.newId, nowMs));
  return write.length === 0 ? {} : { commit: { expect: [asRead(Application, application)], write } };
}

function rowWrite({ application, memory, row }: Subject, newId: NewId, nowMs: number): Write {
  const { namespace = '', name, uid } = application.metadata;
  const spec: RenderRow['spec'] = {
    applicationUid: uid,
    ...(memory.refreshed === undefined ? {} : { refreshed: memory.refreshed }),
    trees: [...(memory.trees ?? [])],
  };
  const object = row === undefined ? newObject(RenderRow, { namespace, name }, spec, { nowMs, newId }) : withSpec(row, spec);
  return { op: 'put', kind: RenderRow, object };
}

/** With the finalizer, without which nothing is delivered: its deletion would otherwise be an absence. */
function held(application: Application): Application {
  const finalizers = application.metadata.finalizers ?? [];
  if (finalizers.includes(DELIVERIES_FINALIZER)) return application;
  return { ...application, metadata: { ...application.metadata, finalizers: [...finalizers, DELIVERIES_FINALIZER] } };
}

/** A status that says which commits were looked at, and what is worth knowing about what was rendered from them. */
function lookedAt(
  status: ApplicationStatus,
  { application, memory }: Subject,
  { snapshot, files: found }: Pick<FoundSource, 'snapshot' | 'files'>,
  nowMs: number,
): ApplicationStatus {
  const { files: _files, notices: formerNotices, ...kept } = status;
  const files = lookedAtFiles(found);
  const notices = memory.trees === undefined ? formerNotices : noticesOf(memory.trees, application, formerNotices, nowMs);
  return {
    ...kept,
    commit: snapshot.commit,
    ...(files.length === 0 ? {} : { files }),
    ...(notices === undefined || notices.length === 0 ? {} : { notices }),
  };
}
