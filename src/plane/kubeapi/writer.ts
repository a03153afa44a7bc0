import { FairleadError, newUid, rfc3339, type Clock, type NewId } from '#base';
import { formatKey, Project } from '#api';
import type { CommitResult, Store, Transaction, Write } from '#plane/store';
import { withRedactedPaths } from './admission.ts';
import { hasFinalizers } from './core-kinds.ts';
import { decodeObject, handleUnknown } from './decode.ts';
import { applyConfiguration, ApplyConflicts, trackUpdate } from './fields/apply.ts';
import { formatFieldPath } from './fields/field-set.ts';
import { FieldTypeError } from './fields/walk.ts';
import { getIn, isObject, scalarText, stableJson, textOf, withKey, type Json, type JsonObject } from './json.ts';
import { coerceMetadata, labelFaults, metadataOf } from './metadata.ts';
import { NamespaceGate } from './namespace-gate.ts';
import { admit, checkAccess, nameIn, prepare, wantsSame, type PrepareOptions, type Subject } from './prepare.ts';
import { APPLY_PATCH, asJson, asStored, keyOfRequest, toApi, type Resource } from './resource.ts';
import { failure } from './status-error.ts';
import { pruneUnknown } from './structural.ts';
import { checkDelete, checkNamed, checkNamespace, checkVersion, type DeleteOptions } from './write-checks.ts';
import type { WriteOptions } from './write-options.ts';
import {
  configuration,
  decode,
  marking,
  revisionOf,
  runPatch,
  scopeOf,
  settled,
  SYSTEM_FIELDS,
  toStored,
  withDefaults,
  withRevision,
} from './written-object.ts';

export interface WriterOptions extends PrepareOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly newId?: NewId;
  readonly rng?: () => number;
  /** Every resource that is served: what a Project may not be deleted while it holds. */
  readonly resources: readonly Resource[];
  /** Why nothing may be written now: the plane is frozen. */
  readonly refuseWrites?: () => string | undefined;
}

export interface Written {
  /** In the API's shape. */
  readonly object: JsonObject;
  readonly created: boolean;
}

/** Which object a write is about, as the URL says it. */
export interface Target {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

/** Of N writers of one object one succeeds in each round. */
const ATTEMPTS = 64;
const NAME_ATTEMPTS = 8;
const SUFFIX_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';
/** What one write makes of the stored object; undefined for `before` means that there is none. */
type Change = (before: JsonObject | undefined) => JsonObject;

/** The one way people and programs change objects through the API; controllers commit by themselves. */
export class Writer {
  readonly #options: WriterOptions;
  readonly #gate = new NamespaceGate();

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  async create(resource: Resource, namespace: string, body: Json, options: WriteOptions): Promise<Written> {
    const sent = decode(resource, body, options);
    const metadata = metadataOf(sent);
    if (textOf(metadata['resourceVersion']) !== undefined) {
      throw failure.badRequest('resourceVersion should not be set on objects to be created');
    }
    checkNamespace(resource, namespace, metadata);
    const base = nameIn(sent) === '' ? textOf(metadata['generateName']) : undefined;
    for (let attempt = 1; ; attempt++) {
      const name = base === undefined ? nameIn(sent) : this.#generatedName(base);
      const named = name === '' ? sent : { ...sent, metadata: { ...metadata, name } };
      try {
        return await this.#createNamed(this.#subject({ resource, namespace, name, subresource: '' }, 'create', options), named);
      } catch (error) {
        const isTaken = error instanceof FairleadError && error.code === 'FL_API_ALREADY_EXISTS';
        if (!isTaken || base === undefined || attempt >= NAME_ATTEMPTS) throw error;
      }
    }
  }

  async #createNamed(subject: Subject, sent: JsonObject): Promise<Written> {
    const { target, options } = subject;
    const object = this.#born(target, subject.namespace, toStored(subject.resource, sent, undefined));
    return this.#within(subject, () =>
      this.#commit(subject, (before) => {
        if (before !== undefined) throw failure.alreadyExists(subject.resource, subject.name);
        return trackUpdate(target.scope, undefined, object, options.fieldManager, this.#time());
      }),
    );
  }

  async update(target: Target, body: Json, options: WriteOptions): Promise<Written> {
    const subject = this.#subject(target, 'update', options);
    const { resource, name } = subject;
    const sent = decode(resource, body, options);
    checkNamed(subject, sent);
    return this.#commit(subject, (before) => {
      if (before === undefined) throw failure.notFound(resource, name);
      const metadata = metadataOf(sent);
      if (textOf(metadata['resourceVersion']) === undefined) {
        throw failure.invalid(resource, name, [
          { type: 'FieldValueInvalid', field: 'metadata.resourceVersion', value: 0, detail: 'must be specified for an update' },
        ]);
      }
      const uid = metadata['uid'];
      const known = getIn(before, 'metadata', 'uid');
      if (uid !== undefined && uid !== known) {
        const why = `Precondition failed: UID in precondition: ${scalarText(uid)}, UID in object meta: ${scalarText(known)}`;
        throw failure.conflict(resource, name, why);
      }
      return this.#tracked(subject, before, toStored(resource, sent, before));
    });
  }

  /** Any of the patches the resource takes; the apply patch creates what is not there. */
  async patch(target: Target, type: string, patch: Json, options: WriteOptions): Promise<Written> {
    if (type === APPLY_PATCH) return this.#apply(this.#subject(target, 'apply', options), patch);
    const subject = this.#subject(target, 'patch', options);
    const { resource, name } = subject;
    return this.#commit(subject, (before) => {
      if (before === undefined) throw failure.notFound(resource, name);
      const patched = runPatch(resource, toApi(resource, before), type, patch);
      const decoded = decodeObject(resource, patched);
      handleUnknown(decoded.unknown, options.fieldValidation, options.warnings, (message) =>
        this.#unpatchable(resource, patched, message),
      );
      checkNamed(subject, decoded.object);
      return this.#tracked(subject, before, toStored(resource, decoded.object, before));
    });
  }

  /** An update's object with its history. */
  #tracked(subject: Subject, before: JsonObject, next: JsonObject): JsonObject {
    checkVersion(subject, before, next);
    return trackUpdate(scopeOf(subject), before, settled(subject, before, next), subject.options.fieldManager, this.#time());
  }

  async #apply(subject: Subject, patch: Json): Promise<Written> {
    const { target, resource, namespace, name, subresource } = subject;
    const config = configuration(subject, patch);
    return this.#within(subject, () =>
      this.#commit(subject, (before) => {
        if (before === undefined && subresource !== '') throw failure.notFound(resource, name);
        const uid = getIn(config, 'metadata', 'uid');
        if (before === undefined && uid !== undefined) {
          const why = `uid mismatch: the provided object specified uid ${scalarText(uid)}, and no existing object was found`;
          throw failure.conflict(resource, name, why);
        }
        const merged = this.#merged(subject, before, config);
        const unknown: string[] = [];
        const metadata = coerceMetadata(merged['metadata'], unknown, true);
        const next = { ...withDefaults(target, pruneUnknown(target.schema, merged, unknown)), metadata };
        if (before === undefined) return this.#born(target, namespace, next);
        checkVersion(subject, before, next);
        return settled(subject, before, next);
      }),
    );
  }

  #merged(subject: Subject, before: JsonObject | undefined, config: JsonObject): JsonObject {
    const { target, namespace, name, options } = subject;
    try {
      return applyConfiguration(scopeOf(subject), before, config, {
        manager: options.fieldManager,
        force: options.force,
        time: this.#time(),
      });
    } catch (error) {
      if (error instanceof ApplyConflicts) {
        throw failure.applyConflict(
          error.message,
          error.conflicts.map((conflict) => ({
            reason: 'FieldManagerConflict',
            message: `conflict with ${conflict.printed}`,
            field: formatFieldPath(conflict.path),
          })),
        );
      }
      if (error instanceof FieldTypeError) {
        const where = `${namespace}/${name}; ${target.apiVersion}, Kind=${target.kind}`;
        throw failure.badRequest(`failed to create typed patch object (${where}): ${error.message}`);
      }
      throw error;
    }
  }

  async remove(target: Target, preconditions: DeleteOptions, options: WriteOptions): Promise<JsonObject> {
    const subject = this.#subject(target, 'delete', options);
    const task = (): Promise<JsonObject> => this.#removeNow(subject, preconditions);
    return subject.target.storeKind.kind === Project.kind ? this.#gate.exclusive(subject.name, task) : task();
  }

  async #removeNow(subject: Subject, preconditions: DeleteOptions): Promise<JsonObject> {
    const { resource, target, name, options } = subject;
    const { store } = this.#options;
    const key = keyOfRequest(target, subject.namespace, name);
    for (let attempt = 1; ; attempt++) {
      const stored = await store.get(target.storeKind, key);
      if (stored === undefined) throw failure.notFound(resource, name);
      const before = asJson(stored);
      checkDelete(subject, before, preconditions);
      checkAccess(subject);
      if (target.storeKind.kind === Project.kind) await this.#refuseHeld(subject);
      await admit(subject, 'DELETE', before, before, this.#options);
      const waits = hasFinalizers(before);
      if (waits && getIn(before, 'metadata', 'deletionTimestamp') !== undefined) return toApi(resource, before);
      const marked = marking(before, this.#time());
      if (options.dryRun) return waits ? toApi(resource, marked) : deletedStatus(subject, before);
      const write: Write = waits
        ? { op: 'put', kind: target.storeKind, object: asStored(marked) }
        : { op: 'delete', kind: target.storeKind, key };
      const result = await store.commit({
        expect: [{ kind: target.storeKind, key, revision: revisionOf(before) }],
        write: [write],
        audit: this.#leaf(subject),
      });
      if (result.ok) return waits ? toApi(resource, withRevision(marked, result.revision)) : deletedStatus(subject, before);
      if ('fenced' in result || attempt >= ATTEMPTS || preconditions.resourceVersion !== undefined) {
        throw failure.modified(resource, name);
      }
    }
  }

  /** A Project goes only when nothing of people's is left in it: nothing is deleted by mistake. */
  async #refuseHeld({ resource, name }: Subject): Promise<void> {
    const held: string[] = [];
    for (const one of this.#options.resources) {
      if (!one.namespaced || one.storeKind.access !== 'write') continue;
      const page = await this.#options.store.list(one.storeKind, { namespace: name, limit: 6 });
      if (page.items.length === 0) continue;
      const names = page.items.slice(0, 5).map((object) => object.metadata.name);
      held.push(`${one.plural} ${names.join(', ')}${page.items.length > 5 ? ' and more' : ''}`);
    }
    if (held.length > 0) {
      throw failure.conflict(resource, name, `the project still holds ${held.join('; ')}; delete them first`);
    }
  }

  /** Reads, changes, commits; computed anew on what is there when somebody else was faster. */
  async #commit(subject: Subject, change: Change): Promise<Written> {
    const { resource, target, namespace, name, options } = subject;
    const { store } = this.#options;
    const key = keyOfRequest(target, namespace, name);
    for (let attempt = 1; ; attempt++) {
      const stored = name === '' ? undefined : await store.get(target.storeKind, key);
      const raw = stored === undefined ? undefined : asJson(stored);
      // As Kubernetes reads it: a default that came later, or that a controller left out, is no change of this write's.
      const before = raw === undefined ? undefined : withDefaults(target, raw);
      const warned = options.warnings.length;
      const prepared = await prepare(subject, before, change(before), this.#options);
      if (prepared === undefined) return { object: toApi(resource, before ?? {}), created: false };
      const { isGone } = prepared;
      // Of what controllers write people change the metadata only, and nothing else is stored, unless an admission answers to it.
      const isForeign = target.storeKind.access === 'read' && !options.isInternal;
      const keepsContent = before !== undefined && wantsSame(before, prepared.next);
      const next =
        raw !== undefined && isForeign && keepsContent ? { ...raw, metadata: metadataOf(prepared.next) } : prepared.next;
      const created = before === undefined;
      if (options.dryRun) return { object: toApi(resource, next), created };
      const result = await store.commit({
        expect: [
          { kind: target.storeKind, key, revision: created ? 'absent' : revisionOf(before) },
          // A create and the end of its Project are told apart by the database.
          ...(created && target.namespaced
            ? [{ kind: Project, key: { namespace: '', name: namespace }, revision: 'present' as const }]
            : []),
        ],
        write: [
          isGone ? { op: 'delete', kind: target.storeKind, key } : { op: 'put', kind: target.storeKind, object: asStored(next) },
        ],
        audit: this.#leaf(subject),
      });
      if (result.ok) {
        const revision = result.changed ? result.revision : revisionOf(before ?? next);
        return { object: toApi(resource, withRevision(next, revision)), created };
      }
      this.#refuseConflict(subject, result, attempt);
      options.warnings.length = warned;
    }
  }

  #refuseConflict(
    { resource, target, namespace, name, verb }: Subject,
    result: CommitResult & { ok: false },
    attempt: number,
  ): void {
    if ('fenced' in result) throw failure.modified(resource, name);
    if (result.conflict.kind === Project.kind && target.namespaced) throw noNamespace(namespace);
    // A full update said which version it is of; the others are computed anew on what is there now.
    if (verb === 'update' || attempt >= ATTEMPTS) throw failure.modified(resource, name);
  }

  /** Runs a write that may create, while its namespace cannot end. Throws 404 and 403 for the namespace. */
  async #within<T>({ target, namespace }: Subject, task: () => Promise<T>): Promise<T> {
    if (!target.namespaced) return task();
    return this.#gate.shared(namespace, async () => {
      if (labelFaults(namespace).length > 0) throw noNamespace(namespace);
      const project = await this.#options.store.get(Project, { namespace: '', name: namespace });
      if (project === undefined) throw noNamespace(namespace);
      if (project.metadata.deletionTimestamp !== undefined) {
        const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
        throw failure.forbidden(target, '', why);
      }
      return task();
    });
  }

  #subject(at: Target, verb: string, options: WriteOptions): Subject {
    const { resource } = at;
    const refusal = options.dryRun ? undefined : this.#options.refuseWrites?.();
    if (refusal !== undefined) throw failure.frozen(refusal);
    const target =
      resource.view === undefined
        ? resource
        : this.#options.resources.find((one) => one.view === undefined && one.storeKind.kind === resource.storeKind.kind);
    if (target === undefined) throw failure.methodNotAllowed();
    return { ...at, target, verb, options };
  }

  /** As a new object begins: what the system sets replaces what was sent. */
  #born(target: Resource, namespace: string, object: JsonObject): JsonObject {
    let metadata = metadataOf(object);
    for (const field of [...SYSTEM_FIELDS, 'selfLink']) metadata = withKey(metadata, field, undefined);
    return {
      ...object,
      metadata: {
        ...metadata,
        ...(target.namespaced ? { namespace } : {}),
        uid: (this.#options.newId ?? newUid)(),
        creationTimestamp: this.#time(),
        generation: 1,
      },
    };
  }

  #unpatchable(resource: Resource, patched: Json, message: string): Error {
    const paths = this.#options.writeOnly.get(resource.kind) ?? [];
    const quoted = stableJson(isObject(patched) ? withRedactedPaths(patched, paths) : patched);
    return failure.invalid({ group: '', plural: '', kind: '' }, '', [
      { type: 'FieldValueInvalid', field: 'patch', value: quoted, detail: message },
    ]);
  }

  #leaf({ target, namespace, name, subresource, verb, options }: Subject): NonNullable<Transaction['audit']> {
    const details = {
      ...(options.fieldManager === '' ? {} : { fieldManager: options.fieldManager }),
      ...(subresource === '' ? {} : { subresource }),
    };
    return {
      actor: options.actor,
      verb,
      object: `${target.kind}/${formatKey(keyOfRequest(target, namespace, name))}`,
      at: new Date(this.#options.clock.now()).toISOString(),
      ...(Object.keys(details).length === 0 ? {} : { details }),
    };
  }

  #generatedName(base: string): string {
    const rng = this.#options.rng ?? Math.random;
    const letters = Array.from({ length: 5 }, () => SUFFIX_LETTERS[Math.floor(rng() * SUFFIX_LETTERS.length)] ?? 'b');
    return `${base.slice(0, 58)}${letters.join('')}`;
  }

  #time(): string {
    return rfc3339(this.#options.clock.now());
  }
}

function noNamespace(name: string): Error {
  return failure.notFound({ group: '', plural: 'namespaces', kind: 'Namespace' }, name);
}

function deletedStatus({ resource, name }: Subject, object: JsonObject): JsonObject {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name,
      ...(resource.group === '' ? {} : { group: resource.group }),
      kind: resource.plural,
      uid: getIn(object, 'metadata', 'uid') ?? '',
    },
  };
}
