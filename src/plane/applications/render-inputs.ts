import { posix } from 'node:path';
import { FairleadError } from '#base';
import type { FetchedEntry } from '#render';
import { staleLocks } from './chart-lock.ts';
import { describeReference, referenceKey, remoteReferences, withResolved, type ResolvedReference } from './remote-references.ts';
import { collectFiles, treeKey, type RenderFiles } from './render-files.ts';
import type { TreeContext, TreeRow } from './tree-context.ts';
import { mentionedVariables, type BaseGroup } from './wanted-groups.ts';

/** What a row keeps of what was fetched from elsewhere. */
export type FetchedRow = Pick<TreeRow, 'pins' | 'floating' | 'staleLocks'>;

/** What the renderer is given: files by path, and which of them were fetched from elsewhere. */
export interface RenderContents {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly fetched: readonly FetchedEntry[];
}

interface Contents {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly resolved: readonly ResolvedReference[];
}

/** What a group is rendered from, read from the snapshot at most once and only if something is rendered. */
export class RenderInputs {
  readonly #group: BaseGroup;
  readonly #context: TreeContext;
  #collected: Promise<RenderFiles> | undefined;
  #contents: Promise<Contents> | undefined;

  constructor(group: BaseGroup, context: TreeContext) {
    this.#group = group;
    this.#context = context;
  }

  collected(): Promise<RenderFiles> {
    const { path, render } = this.#group;
    const wanted = { path, named: render.helm?.valueFiles ?? [], follows: render.engine !== 'manifests' };
    const components = (render.kustomize?.components ?? []).map((one) => posix.join(path, one));
    return (this.#collected ??= collectFiles(this.#context.snapshot, { ...wanted, directories: components }));
  }

  async tree(): Promise<string> {
    return treeKey(this.#context.snapshot, this.#group.path, (await this.collected()).outside);
  }

  /** Throws the reason why something that is not in the repository cannot be had. */
  async contents(): Promise<RenderContents> {
    const { files, resolved } = await this.#load();
    return withResolved(files, resolved);
  }

  /** What was fetched, as a row keeps it. */
  async fetchedRow(): Promise<FetchedRow> {
    const { files, resolved } = await this.#load();
    const charts = resolved.flatMap(({ reference }) => (reference.kind === 'chart' ? [posix.dirname(reference.into)] : []));
    const stale = staleLocks(files, charts);
    return { ...this.#context.pins.rowOf(resolved), ...(stale.length === 0 ? {} : { staleLocks: [...stale] }) };
  }

  #load(): Promise<Contents> {
    return (this.#contents ??= this.#read());
  }

  async #read(): Promise<Contents> {
    const { snapshot } = this.#context;
    const { files } = await this.collected();
    const byOid = await snapshot.read(files);
    const contents = new Map(files.map((file) => [file.path, byOid.get(file.oid) ?? new Uint8Array()]));
    return { files: contents, resolved: await this.#resolve(contents) };
  }

  /** What was fetched may ask for more: a remote base has bases of its own. */
  async #resolve(contents: ReadonlyMap<string, Uint8Array>): Promise<readonly ResolvedReference[]> {
    const { project, signal, resolveReferences, pins, nowMs } = this.#context;
    if (this.#group.render.engine === 'manifests') return [];
    const resolved: ResolvedReference[] = [];
    for (let round = 0; ; round += 1) {
      const done = new Set(resolved.map(({ reference }) => referenceKey(reference)));
      const missing = remoteReferences(withResolved(contents, resolved).files, this.#group.path).filter(
        (one) => !done.has(referenceKey(one)),
      );
      const [first] = missing;
      if (first === undefined) return resolved;
      if (resolveReferences === undefined || round >= 5) {
        const message = `it needs ${describeReference(first)}, which is not in the repository${missing.length > 1 ? ` (and ${missing.length - 1} more)` : ''}`;
        throw new FairleadError('FL_RENDER_REMOTE', message, {
          kind: 'invalid',
          details: { file: first.file, line: first.line, what: describeReference(first) },
        });
      }
      const isDue = (key: string): boolean => pins.isDue(key);
      const found = await resolveReferences(missing, { project, pins: pins.digests, isDue, signal });
      pins.keep(found, nowMs);
      resolved.push(...found);
    }
  }
}

/** Of files and options: more than a render will ask for, never less. What a chart asks of the cluster shows when it is rendered. */
export async function initialVariables({ render }: BaseGroup, inputs: RenderInputs): Promise<readonly string[]> {
  const values = [...textsOf(render.helm?.values ?? {})].map((text) => Buffer.from(text));
  const files = render.substitute ? (await inputs.contents()).files.values() : [];
  return mentionedVariables([...values, ...files]);
}

function* textsOf(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) yield* textsOf(inner);
}
