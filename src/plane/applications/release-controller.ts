import { isDeepStrictEqual } from 'node:util';
import {
  Application,
  ChartRepository,
  formatKey,
  GitRepository,
  keyOf,
  parseKey,
  Project,
  Release,
  RenderRow,
  type Source,
  type UntimedReason,
} from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import type { Renderer } from '#render';
import { decideRelease, type DecisionOptions } from './decide-release.ts';
import { findContent, type ContentOptions } from './find-content.ts';
import { ACTOR, DELIVERIES_FINALIZER } from './names.ts';
import { newestRelease, type ReleaseMemory, type Subject } from './release-subject.ts';
import { planRetirement } from './retire.ts';
import { deliveriesOf, eachPage } from './shadow.ts';
import { nothingStaged } from './staged.ts';

export interface ReleaseControllerOptions extends Omit<ContentOptions, 'verdicts'>, DecisionOptions {
  readonly renderer: Pick<Renderer, 'render' | 'version'>;
  /** Told after each look: what it cost. For figures and tests. */
  readonly onLook?: (look: {
    readonly application: string;
    readonly renders: number;
    readonly released: number | undefined;
  }) => void;
}

/** From Snapshots to Releases. One key per Application. */
export function createReleaseController(options: ReleaseControllerOptions): Controller {
  const looker = new ReleaseLook(options);
  return {
    name: 'applications',
    // One of them computes at a time; the others wait for git or the renderer.
    concurrency: 8,
    wakes: [
      ...options.fleet.wakes(),
      wakeOn(GitRepository, async ({ type, before, after }, read) => {
        const isNew = type !== 'modified' || !isDeepStrictEqual(sourceOf(before), sourceOf(after));
        return isNew ? [...(await applicationsOf(read, after)), ...(await options.fleet.withFilesOf(read, after))] : [];
      }),
      wakeOn(ChartRepository, ({ type, before, after }, read) => {
        const seen = (one: ChartRepository | undefined): unknown => [one?.status?.charts, one?.status?.reason];
        return type !== 'modified' || !isDeepStrictEqual(seen(before), seen(after)) ? applicationsOf(read, after) : [];
      }),
      wakeOn(Project, async ({ type, before, after }, read) =>
        type === 'modified' && before?.metadata.generation === after.metadata.generation
          ? []
          : options.fleet.applicationsOf(read, after),
      ),
    ],
    initial: async (read) => {
      await options.fleet.reload(read);
      const keys: string[] = [];
      await eachPage(read, Application, (application) => keys.push(formatKey(keyOf(application))));
      return keys;
    },
    reconcile: (key, context) => looker.reconcile(key, context),
  };
}

function sourceOf(repository: GitRepository | undefined): unknown {
  return [repository?.status?.snapshot, repository?.status?.refs, repository?.status?.reason, repository?.spec.ref];
}

async function applicationsOf(read: Reader, repository: Source): Promise<string[]> {
  const keys: string[] = [];
  const namespace = repository.metadata.namespace ?? '';
  const fields = [{ path: 'spec.source.sourceRef.name', operator: '=', value: repository.metadata.name }] as const;
  await eachPage(read, Application, (application) => keys.push(formatKey(keyOf(application))), { namespace, fields });
  return keys;
}

class ReleaseLook {
  readonly #options: ReleaseControllerOptions;
  readonly #memory = new Map<string, ReleaseMemory>();
  readonly #verdicts = new Map<string, UntimedReason>();

  constructor(options: ReleaseControllerOptions) {
    this.#options = options;
  }

  async reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult> {
    const { read, clock } = context;
    const application = await read.get(Application, parseKey(key));
    if (application === undefined) {
      this.#memory.delete(key);
      return {};
    }
    const finalizers = application.metadata.finalizers ?? [];
    const isHeld = finalizers.includes(DELIVERIES_FINALIZER);
    if (application.metadata.deletionTimestamp !== undefined) {
      if (!isHeld) return {};
      const deliveries = await deliveriesOf(application, read);
      return {
        chunks: planRetirement(application, deliveries, { nowMs: clock.now(), newId: this.#options.newId, actor: ACTOR }),
      };
    }
    const { namespace = '', name } = application.metadata;
    const row = await read.get(RenderRow, { namespace, name });
    const memory = await this.#remember(key, application, read);
    const subject: Subject = {
      application,
      row: row?.spec.applicationUid === application.metadata.uid ? row : undefined,
      newest: await newestRelease(application, read),
      memory,
    };
    // The row is written in one commit with the last of the content.
    if (isDeepStrictEqual(subject.row?.spec.trees, memory.trees)) memory.staged = nothingStaged();
    const before = memory.staged.renders;
    const found = await findContent(subject, { ...this.#options, verdicts: this.#verdicts }, context);
    const { result, released } = await decideRelease(subject, found, this.#options, context);
    this.#options.onLook?.({ application: key, renders: memory.staged.renders - before, released });
    if (found.content === undefined) {
      // Nothing of it will be stored: what is right in it is rendered again when the rest is.
      memory.trees = undefined;
      memory.staged = nothingStaged();
    }
    return found.againMs === undefined ? result : { againMs: found.againMs, ...result };
  }

  async #remember(key: string, application: Application, read: Reader): Promise<ReleaseMemory> {
    const known = this.#memory.get(key);
    const number = application.status?.release?.number;
    if (known?.uid === application.metadata.uid) {
      if (number !== undefined && !known.numbers.includes(number)) known.numbers.push(number);
      return known;
    }
    const { namespace = '', name, uid } = application.metadata;
    const numbers: number[] = [];
    const fields = [{ path: 'spec.application', operator: '=', value: name }] as const;
    await eachPage(read, Release, ({ spec }) => numbers.push(spec.number), { namespace, fields });
    const memory: ReleaseMemory = {
      uid,
      trees: undefined,
      refreshed: undefined,
      staged: nothingStaged(),
      numbers,
      releasedAtMs: Number.NEGATIVE_INFINITY,
    };
    this.#memory.set(key, memory);
    return memory;
  }
}
