import { FairleadError, newUid, rfc3339, type Clock, type NewId } from '#base';
import { formatKey, Project, type Key, type Violation } from '#api';
import type { Store, Transaction } from '#plane/store';
import { firstPresent, withRedactedLastApplied, withRedactedPaths, type Admission } from './admission.ts';
import { decodeObject, handleUnknown } from './decode.ts';
import { hasFinalizers } from './core-kinds.ts';
import { applyConfiguration, ApplyConflicts, isSameButTimes, trackUpdate } from './fields/apply.ts';
import { formatFieldPath } from './fields/field-set.ts';
import { FieldTypeError } from './fields/walk.ts';
import type { Issue } from './issues.ts';
import {
  equal,
  get,
  getIn,
  isArray,
  isObject,
  scalarText,
  stableJson,
  textOf,
  withKey,
  type Json,
  type JsonObject,
} from './json.ts';
import {
  coerceMetadata,
  finalizerWarnings,
  finalizersOf,
  labelFaults,
  metadataIssues,
  metadataUpdateIssues,
} from './metadata.ts';
import { NamespaceGate } from './namespace-gate.ts';
import { jsonPatch, mergePatch, namespacePatch, PatchFailure, PatchSyntaxError } from './patch.ts';
import {
  APPLY_PATCH,
  asJson,
  asStored,
  JSON_PATCH,
  keyOfRequest,
  MERGE_PATCH,
  STRATEGIC_PATCH,
  toApi,
  type Resource,
} from './resource.ts';
import { failure } from './status-error.ts';
import { applyDefaults, pruneUnknown } from './structural.ts';
import { validateListTypes, validateSchema } from './validate.ts';
import type { WriteOptions } from './write-options.ts';

export interface WriterOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly newId?: NewId;
  readonly rng?: () => number;
  /** Every resource that is served: what a Project may not be deleted while it holds. */
  readonly resources: readonly Resource[];
  readonly admission: (kind: string) => readonly Admission[];
  /** Paths that never reach the store, by kind: what is written there must be taken out by an admission. */
  readonly writeOnly: ReadonlyMap<string, readonly string[]>;
}

export interface Written {
  /** In the API's shape. */
  readonly object: JsonObject;
  readonly created: boolean;
}

export interface DeleteOptions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

const MAX_OBJECT_BYTES = 1_536 * 1024;
const ATTEMPTS = 6;
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
    const decoded = decodeObject(resource, body);
    handleUnknown(decoded.unknown, options.fieldValidation, options.warnings, (message) => undecodable(resource, message));
    const metadata = decoded.object['metadata'] as JsonObject;
    if (textOf(metadata['resourceVersion']) !== undefined) {
      throw failure.badRequest('resourceVersion should not be set on objects to be created');
    }
    this.#checkNamespace(resource, namespace, metadata);
    const generateName = textOf(metadata['name']) === undefined ? textOf(metadata['generateName']) : undefined;
    for (let attempt = 1; ; attempt++) {
      const name = generateName === undefined ? (textOf(metadata['name']) ?? '') : this.#generated(generateName);
      const object = { ...decoded.object, metadata: { ...metadata, ...(name === '' ? {} : { name }) } };
      try {
        return await this.#createNamed(resource, namespace, name, object, options);
      } catch (error) {
        const isTaken = error instanceof FairleadError && error.code === 'FL_API_ALREADY_EXISTS';
        if (!isTaken || generateName === undefined || attempt >= 8) throw error;
      }
    }
  }

  async #createNamed(
    resource: Resource,
    namespace: string,
    name: string,
    api: JsonObject,
    options: WriteOptions,
  ): Promise<Written> {
    const target = this.#target(resource);
    const sent = this.#toStored(resource, api, undefined);
    const wiped = this.#withSystemMetadata(target, namespace, sent);
    return this.#within(target, namespace, () =>
      this.#commit(resource, namespace, name, '', options, 'create', (before) => {
        if (before !== undefined) throw failure.alreadyExists(resource, name);
        return trackUpdate(target.scope, undefined, wiped, options.fieldManager, this.#time());
      }),
    );
  }

  async update(
    resource: Resource,
    namespace: string,
    name: string,
    subresource: string,
    body: Json,
    options: WriteOptions,
  ): Promise<Written> {
    const decoded = decodeObject(resource, body);
    handleUnknown(decoded.unknown, options.fieldValidation, options.warnings, (message) => undecodable(resource, message));
    const metadata = decoded.object['metadata'] as JsonObject;
    this.#checkNamespace(resource, namespace, metadata);
    const named = textOf(metadata['name']) ?? '';
    if (named !== name) {
      throw failure.badRequest(
        named === ''
          ? 'the name of the object (based on metadata.name) was undeterminable: name must be provided'
          : `the name of the object (${named}) does not match the name on the URL (${name})`,
      );
    }
    const target = this.#target(resource);
    const scope = subresource === 'status' ? target.statusScope : target.scope;
    return this.#commit(resource, namespace, name, subresource, options, 'update', (before) => {
      if (before === undefined) throw failure.notFound(resource, name);
      const next = this.#toStored(resource, decoded.object, before);
      if (textOf(metadata['resourceVersion']) === undefined) {
        throw failure.invalid(target, name, [
          { type: 'FieldValueInvalid', field: 'metadata.resourceVersion', value: 0, detail: 'must be specified for an update' },
        ]);
      }
      this.#checkPreconditions(resource, name, before, next);
      return trackUpdate(scope, before, this.#settled(target, before, next, subresource), options.fieldManager, this.#time());
    });
  }

  async patch(
    resource: Resource,
    namespace: string,
    name: string,
    subresource: string,
    type: string,
    patch: Json,
    options: WriteOptions,
  ): Promise<Written> {
    if (type === APPLY_PATCH) return this.apply(resource, namespace, name, subresource, patch, options);
    const target = this.#target(resource);
    const scope = subresource === 'status' ? target.statusScope : target.scope;
    return this.#commit(resource, namespace, name, subresource, options, 'patch', (before) => {
      if (before === undefined) throw failure.notFound(resource, name);
      const current = toApi(resource, before);
      const patched = runPatch(resource, current, type, patch);
      const decoded = decodeObject(resource, patched);
      handleUnknown(decoded.unknown, options.fieldValidation, options.warnings, (message) =>
        this.#unpatchable(resource, patched, message),
      );
      const metadata = decoded.object['metadata'] as JsonObject;
      if (textOf(metadata['name']) !== name) {
        throw failure.badRequest(
          `the name of the object (${textOf(metadata['name']) ?? ''}) does not match the name on the URL (${name})`,
        );
      }
      this.#checkNamespace(resource, namespace, metadata);
      const next = this.#toStored(resource, decoded.object, before);
      this.#checkPreconditions(resource, name, before, next);
      return trackUpdate(scope, before, this.#settled(target, before, next, subresource), options.fieldManager, this.#time());
    });
  }

  /** Server-side apply: creates what is not there, except on /status. */
  async apply(
    resource: Resource,
    namespace: string,
    name: string,
    subresource: string,
    config: Json,
    options: WriteOptions,
  ): Promise<Written> {
    const target = this.#target(resource);
    const given = this.#configuration(resource, namespace, name, config);
    const scope = subresource === 'status' ? target.statusScope : target.scope;
    const run = (): Promise<Written> =>
      this.#commit(resource, namespace, name, subresource, options, 'apply', (before) => {
        if (before === undefined && subresource !== '') throw failure.notFound(resource, name);
        if (before === undefined && getIn(given, 'metadata', 'uid') !== undefined) {
          throw failure.conflict(
            resource,
            name,
            `uid mismatch: the provided object specified uid ${scalarText(getIn(given, 'metadata', 'uid'))}, and no existing object was found`,
          );
        }
        const merged = this.#merge(target, scope, name, namespace, before, given, options);
        const unknown: string[] = [];
        const metadata = coerceMetadata(merged['metadata'], unknown, true);
        const pruned = pruneUnknown(target.schema, merged, unknown);
        const next = { ...(applyDefaults(target.schema, { ...pruned, metadata: {} }) as JsonObject), metadata };
        if (before === undefined) return this.#withSystemMetadata(target, namespace, next);
        this.#checkPreconditions(resource, name, before, next);
        return this.#settled(target, before, next, subresource);
      });
    return this.#within(target, namespace, run);
  }

  #merge(
    target: Resource,
    scope: Resource['scope'],
    name: string,
    namespace: string,
    before: JsonObject | undefined,
    config: JsonObject,
    options: WriteOptions,
  ): JsonObject {
    try {
      return applyConfiguration(scope, before, config, {
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
        const where = `${namespace === '' ? '' : namespace}/${name}; ${target.apiVersion}, Kind=${target.kind}`;
        throw failure.badRequest(`failed to create typed patch object (${where}): ${error.message}`);
      }
      throw error;
    }
  }

  /** The configuration of an apply, checked for being one and for naming what the URL names. */
  #configuration(resource: Resource, namespace: string, name: string, config: Json): JsonObject {
    if (!isObject(config)) throw failure.badRequest('error decoding YAML: an apply patch is an object');
    if (get(config, 'apiVersion') !== resource.apiVersion || get(config, 'kind') !== resource.kind) {
      throw failure.badRequest(
        `Incorrect version specified in apply patch. Specified patch version: ${scalarText(get(config, 'apiVersion'))}, Kind=${scalarText(get(config, 'kind'))}, expected: ${resource.apiVersion}, Kind=${resource.kind}`,
      );
    }
    const metadata = get(config, 'metadata');
    if (!isObject(metadata)) throw failure.badRequest('metadata.name is required in an apply patch');
    const managed = metadata['managedFields'];
    if (managed !== undefined && managed !== null) throw failure.badRequest('metadata.managedFields must be nil');
    this.#checkNamespace(resource, namespace, metadata);
    if (textOf(metadata['name']) !== undefined && metadata['name'] !== name) {
      throw failure.badRequest(
        `the name of the object (${scalarText(metadata['name'])}) does not match the name on the URL (${name})`,
      );
    }
    const { managedFields: _none, ...kept } = metadata;
    const located = { ...kept, name, ...(resource.namespaced ? { namespace } : {}) };
    // A Namespace says nothing of the Project it is but its metadata.
    if (resource.view !== undefined) return { apiVersion: Project.apiVersion, kind: Project.kind, metadata: located };
    return { ...config, metadata: located };
  }

  async remove(
    resource: Resource,
    namespace: string,
    name: string,
    preconditions: DeleteOptions,
    options: WriteOptions,
  ): Promise<JsonObject> {
    const task = (): Promise<JsonObject> => this.#removeNow(resource, namespace, name, preconditions, options);
    return resource.storeKind.kind === Project.kind ? this.#gate.exclusive(name, task) : task();
  }

  async #removeNow(
    resource: Resource,
    namespace: string,
    name: string,
    preconditions: DeleteOptions,
    options: WriteOptions,
  ): Promise<JsonObject> {
    const { store } = this.#options;
    const target = this.#target(resource);
    const key = keyOfRequest(target, namespace, name);
    for (let attempt = 1; ; attempt++) {
      const stored = await store.get(target.storeKind, key);
      if (stored === undefined) throw failure.notFound(resource, name);
      const before = asJson(stored);
      this.#checkDelete(resource, name, before, preconditions);
      this.#checkAccess(target, name, options, 'delete');
      if (target.storeKind.kind === Project.kind) await this.#refuseHeld(resource, name);
      const next = this.#marked(before);
      await this.#admit(target, 'DELETE', before, before, '', options);
      const isPending = hasFinalizers(before);
      if (isPending && getIn(before, 'metadata', 'deletionTimestamp') !== undefined) return toApi(resource, before);
      if (options.dryRun) return isPending ? toApi(resource, next) : deleted(resource, name, before);
      const transaction: Transaction = {
        expect: [{ kind: target.storeKind, key, revision: revisionOf(before) }],
        write: [
          isPending
            ? { op: 'put', kind: target.storeKind, object: asStored(next) }
            : { op: 'delete', kind: target.storeKind, key },
        ],
        audit: this.#leaf(target, key, options, 'delete'),
      };
      const result = await store.commit(transaction);
      if (result.ok) {
        return isPending ? toApi(resource, withRevision(next, result.revision)) : deleted(resource, name, before);
      }
      if ('fenced' in result || attempt >= ATTEMPTS || preconditions.resourceVersion !== undefined)
        throw failure.modified(resource, name);
    }
  }

  #checkDelete(resource: Resource, name: string, before: JsonObject, preconditions: DeleteOptions): void {
    const uid = textOf(getIn(before, 'metadata', 'uid')) ?? '';
    const version = textOf(getIn(before, 'metadata', 'resourceVersion')) ?? '';
    if (preconditions.uid !== undefined && preconditions.uid !== uid) {
      throw failure.conflict(
        resource,
        name,
        `the UID in the precondition (${preconditions.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
      );
    }
    if (preconditions.resourceVersion !== undefined && preconditions.resourceVersion !== version) {
      throw failure.conflict(
        resource,
        name,
        `the ResourceVersion in the precondition (${preconditions.resourceVersion}) does not match the ResourceVersion in record (${version}). The object might have been modified`,
      );
    }
  }

  /** As it waits for its finalizers. */
  #marked(before: JsonObject): JsonObject {
    const metadata = before['metadata'] as JsonObject;
    const generation = typeof metadata['generation'] === 'number' ? metadata['generation'] : 0;
    return {
      ...before,
      metadata: { ...metadata, deletionGracePeriodSeconds: 0, deletionTimestamp: this.#time(), generation: generation + 1 },
    };
  }

  /** A Project goes only when nothing of people's is left in it: nothing is deleted by mistake. */
  async #refuseHeld(resource: Resource, name: string): Promise<void> {
    const held: string[] = [];
    for (const one of this.#options.resources) {
      if (!one.namespaced || one.storeKind.access !== 'write') continue;
      const page = await this.#options.store.list(one.storeKind, { namespace: name, limit: 6 });
      if (page.items.length === 0) continue;
      const names = page.items.slice(0, 5).map((object) => object.metadata.name);
      held.push(`${one.plural} ${names.join(', ')}${page.items.length > 5 ? ' and more' : ''}`);
    }
    if (held.length > 0) throw failure.conflict(resource, name, `the project still holds ${held.join('; ')}; delete them first`);
  }

  // What every write goes through.

  async #commit(
    resource: Resource,
    namespace: string,
    name: string,
    subresource: string,
    options: WriteOptions,
    verb: string,
    change: Change,
  ): Promise<Written> {
    const { store } = this.#options;
    const target = this.#target(resource);
    const key = keyOfRequest(target, namespace, name);
    for (let attempt = 1; ; attempt++) {
      const stored = name === '' ? undefined : await store.get(target.storeKind, key);
      const before = stored === undefined ? undefined : asJson(stored);
      const warned = options.warnings.length;
      const written = await this.#prepare(target, name, subresource, options, verb, before, change(before));
      if (written === undefined) return { object: toApi(resource, before ?? {}), created: false };
      const { next, isGone } = written;
      if (options.dryRun) return { object: toApi(resource, next), created: before === undefined };
      const project: Key = { namespace: '', name: namespace };
      const result = await store.commit({
        expect: [
          { kind: target.storeKind, key, revision: before === undefined ? 'absent' : revisionOf(before) },
          // Two creates, or a create and the end of its Project, are told apart by the database.
          ...(before === undefined && target.namespaced ? [{ kind: Project, key: project, revision: 'present' as const }] : []),
        ],
        write: [
          isGone ? { op: 'delete', kind: target.storeKind, key } : { op: 'put', kind: target.storeKind, object: asStored(next) },
        ],
        audit: this.#leaf(target, key, options, verb, subresource),
      });
      if (result.ok) {
        const revision = result.changed ? result.revision : revisionOf(before ?? next);
        return { object: toApi(resource, withRevision(next, revision)), created: before === undefined };
      }
      if ('fenced' in result) throw failure.modified(resource, name);
      if (before === undefined && result.conflict.kind === Project.kind && target.namespaced) throw noNamespace(namespace);
      // A full update said which version it is of; the others are computed anew on what is there now.
      if (verb === 'update' || attempt >= ATTEMPTS) throw failure.modified(resource, name);
      options.warnings.length = warned;
    }
  }

  /** The object as it will be stored; undefined when nothing changes. Throws 403 and 422. */
  async #prepare(
    target: Resource,
    name: string,
    subresource: string,
    options: WriteOptions,
    verb: string,
    before: JsonObject | undefined,
    changed: JsonObject,
  ): Promise<{ readonly next: JsonObject; readonly isGone: boolean } | undefined> {
    if (before === undefined || !onlyPeoplesMetadata(before, changed)) this.#checkAccess(target, name, options, verb);
    let next = await this.#admit(target, before === undefined ? 'CREATE' : 'UPDATE', changed, before, subresource, options);
    next = this.#protected(target, name, next);
    next = before === undefined ? atBirth(next) : this.#aged(before, next, subresource);
    const issues = this.#issues(target, next, before, subresource);
    if (issues.length > 0) throw failure.invalid(target, name, issues);
    if (before !== undefined && isSameButTimes(before, next)) return undefined;
    options.warnings.push(...finalizerWarnings(next['metadata'], before?.['metadata']));
    if (JSON.stringify(next).length > MAX_OBJECT_BYTES) {
      throw new FairleadError(
        'FL_API_OBJECT_TOO_LARGE',
        `${target.kind} ${name} is larger than ${MAX_OBJECT_BYTES} bytes; make it smaller`,
        {
          kind: 'too-large',
        },
      );
    }
    const isGone = getIn(next, 'metadata', 'deletionTimestamp') !== undefined && !hasFinalizers(next) && before !== undefined;
    return { next, isGone };
  }

  async #admit(
    target: Resource,
    operation: 'CREATE' | 'UPDATE' | 'DELETE',
    object: JsonObject,
    before: JsonObject | undefined,
    subresource: string,
    options: WriteOptions,
  ): Promise<JsonObject> {
    let next = object;
    for (const admission of this.#options.admission(target.kind)) {
      const result = await admission({
        operation,
        kind: target.storeKind,
        object: asStored(next),
        ...(before === undefined ? {} : { previous: asStored(before) }),
        subresource,
        principal: options.principal,
        actor: options.actor,
        dryRun: options.dryRun,
      });
      const name = textOf(getIn(next, 'metadata', 'name')) ?? '';
      if (result.denied !== undefined) throw failure.forbidden(target, name, result.denied);
      if (result.violations !== undefined && result.violations.length > 0) {
        throw failure.invalid(
          target,
          name,
          result.violations.map((violation) => issueOf(violation, next)),
        );
      }
      options.warnings.push(...(result.warnings ?? []));
      if (result.object !== undefined) next = asJson(result.object);
    }
    return next;
  }

  /** What must not be stored is not: neither in its field, which an admission must have emptied, nor in kubectl's copy of it. */
  #protected(target: Resource, name: string, object: JsonObject): JsonObject {
    const paths = this.#options.writeOnly.get(target.kind);
    if (paths === undefined) return object;
    const present = firstPresent(object, paths);
    if (present !== undefined) {
      throw failure.invalid(target, name, [
        {
          type: 'FieldValueForbidden',
          field: present,
          detail: 'this plane has nothing that could encrypt it; nothing was stored',
        },
      ]);
    }
    return withRedactedLastApplied(object, paths);
  }

  /** generation rises when something other than metadata and status changes. */
  #aged(before: JsonObject, next: JsonObject, subresource: string): JsonObject {
    const metadata = next['metadata'] as JsonObject;
    const generation = getIn(before, 'metadata', 'generation');
    const count = typeof generation === 'number' ? generation : 0;
    const isChanged = subresource === '' && !equal(withoutMetaAndStatus(before), withoutMetaAndStatus(next));
    return { ...next, metadata: withKey(metadata, 'generation', isChanged ? count + 1 : count) };
  }

  #issues(target: Resource, next: JsonObject, before: JsonObject | undefined, subresource: string): Issue[] {
    const metadata = next['metadata'] as JsonObject;
    const issues: Issue[] = [];
    if (next['kind'] !== target.kind) {
      return [{ type: 'FieldValueInvalid', field: 'kind', value: next['kind'] ?? '', detail: `must be ${target.kind}` }];
    }
    const prior = get(before, 'metadata');
    issues.push(
      ...(isObject(prior)
        ? metadataUpdateIssues(metadata, prior)
        : metadataIssues(metadata, { namespaced: target.namespaced, nameFaults: target.nameFaults })),
    );
    const { metadata: _metadata, apiVersion: _version, kind: _kind, ...rest } = next;
    const checked: JsonObject =
      subresource === 'status'
        ? { spec: next['spec'] ?? {}, ...(next['status'] === undefined ? {} : { status: next['status'] }) }
        : rest;
    issues.push(...validateSchema(target.schema, checked, ''), ...validateListTypes(target.schema, checked, ''));
    if (issues.length > 0) return issues;
    for (const rule of target.storeKind.rules) {
      issues.push(
        ...rule(asStored(next), before === undefined ? undefined : asStored(before)).map((violation) => issueOf(violation, next)),
      );
    }
    return issues;
  }

  /** Controllers own the kinds with access `read`; people may say labels and annotations of them. */
  #checkAccess(target: Resource, name: string, options: WriteOptions, verb: string): void {
    if (target.storeKind.access !== 'read' || options.isInternal) return;
    throw failure.forbidden(
      target,
      name,
      `${target.plural} are written by the plane; ${verb === 'delete' ? 'delete' : 'change'} the Application it belongs to instead (labels and annotations may be changed here)`,
    );
  }

  #checkPreconditions(resource: Resource, name: string, before: JsonObject, next: JsonObject): void {
    const sent = get(next, 'metadata');
    const uid = get(sent, 'uid');
    const known = getIn(before, 'metadata', 'uid');
    if (uid !== undefined && uid !== known) {
      throw failure.conflict(
        resource,
        name,
        `Precondition failed: UID in precondition: ${scalarText(uid)}, UID in object meta: ${scalarText(known)}`,
      );
    }
    const version = textOf(get(sent, 'resourceVersion'));
    if (version !== undefined && version !== getIn(before, 'metadata', 'resourceVersion')) throw failure.modified(resource, name);
  }

  /** A write's object with what writers cannot change put back as it was, and only its part of the object taken. */
  #settled(target: Resource, before: JsonObject, next: JsonObject, subresource: string): JsonObject {
    const old = before['metadata'] as JsonObject;
    const sent = next['metadata'] as JsonObject;
    if (subresource === 'status') {
      const metadata = withKey(old, 'managedFields', sent['managedFields']);
      return withKey({ ...before, metadata }, 'status', next['status']);
    }
    let metadata: JsonObject = { ...sent };
    for (const field of [
      'uid',
      'creationTimestamp',
      'generation',
      'resourceVersion',
      'deletionTimestamp',
      'deletionGracePeriodSeconds',
    ]) {
      metadata = withKey(metadata, field, old[field]);
    }
    if (target.namespaced) metadata = withKey(metadata, 'namespace', old['namespace']);
    return withKey({ ...next, metadata }, 'status', before['status']);
  }

  /** As a new object begins: what the system sets replaces what was sent. */
  #withSystemMetadata(target: Resource, namespace: string, object: JsonObject): JsonObject {
    const sent = object['metadata'] as JsonObject;
    const { uid: _u, creationTimestamp: _c, deletionTimestamp: _d, deletionGracePeriodSeconds: _g, selfLink: _s, ...kept } = sent;
    return {
      ...object,
      metadata: {
        ...kept,
        ...(target.namespaced ? { namespace } : {}),
        uid: (this.#options.newId ?? newUid)(),
        creationTimestamp: this.#time(),
        generation: 1,
      },
    };
  }

  #toStored(resource: Resource, object: JsonObject, before: JsonObject | undefined): JsonObject {
    if (resource.view === undefined) return object;
    if (resource.view.toStored === undefined) throw failure.methodNotAllowed();
    return resource.view.toStored(object, before);
  }

  /** The resource whose rules hold for what is stored: Project's for a Namespace. */
  #target(resource: Resource): Resource {
    if (resource.view === undefined) return resource;
    const target = this.#options.resources.find(
      (one) => one.view === undefined && one.storeKind.kind === resource.storeKind.kind,
    );
    if (target === undefined) throw failure.methodNotAllowed();
    return target;
  }

  /** Runs a write that may create, while its namespace cannot end. Throws 404 and 403 for the namespace. */
  async #within<T>(target: Resource, namespace: string, task: () => Promise<T>): Promise<T> {
    if (!target.namespaced) return task();
    return this.#gate.shared(namespace, async () => {
      if (labelFaults(namespace).length > 0) throw noNamespace(namespace);
      const project = await this.#options.store.get(Project, { namespace: '', name: namespace });
      if (project === undefined) throw noNamespace(namespace);
      if (project.metadata.deletionTimestamp !== undefined) {
        throw failure.forbidden(
          target,
          '',
          `unable to create new content in namespace ${namespace} because it is being terminated`,
        );
      }
      return task();
    });
  }

  #checkNamespace(resource: Resource, namespace: string, metadata: JsonObject): void {
    const sent = textOf(metadata['namespace']) ?? '';
    if (resource.namespaced ? sent !== '' && sent !== namespace : sent !== '') {
      throw failure.badRequest('the namespace of the provided object does not match the namespace sent on the request');
    }
  }

  #unpatchable(resource: Resource, patched: Json, message: string): Error {
    const paths = this.#options.writeOnly.get(resource.kind) ?? [];
    const quoted = stableJson(isObject(patched) ? withRedactedPaths(patched, paths) : patched);
    return failure.invalid({ group: '', plural: '', kind: '' }, '', [
      { type: 'FieldValueInvalid', field: 'patch', value: quoted, detail: message },
    ]);
  }

  #leaf(target: Resource, key: Key, options: WriteOptions, verb: string, subresource = ''): NonNullable<Transaction['audit']> {
    const details = {
      ...(options.fieldManager === '' ? {} : { fieldManager: options.fieldManager }),
      ...(subresource === '' ? {} : { subresource }),
    };
    return {
      actor: options.actor,
      verb,
      object: `${target.kind}/${formatKey(key)}`,
      at: new Date(this.#options.clock.now()).toISOString(),
      ...(Object.keys(details).length === 0 ? {} : { details }),
    };
  }

  #generated(base: string): string {
    const rng = this.#options.rng ?? Math.random;
    const suffix = Array.from({ length: 5 }, () => SUFFIX_LETTERS[Math.floor(rng() * SUFFIX_LETTERS.length)] ?? 'b').join('');
    return `${base.slice(0, 58)}${suffix}`;
  }

  #time(): string {
    return rfc3339(this.#options.clock.now());
  }
}

function runPatch(resource: Resource, current: JsonObject, type: string, patch: Json): Json {
  try {
    switch (type) {
      case JSON_PATCH:
        return jsonPatch(current, patch);
      case MERGE_PATCH:
        if (!isObject(patch)) throw new PatchSyntaxError('Invalid JSON Patch');
        return mergePatch(current, patch);
      case STRATEGIC_PATCH:
        if (!isObject(patch)) throw new PatchSyntaxError('Invalid JSON Patch');
        return namespacePatch(current, patch);
      default:
        throw failure.unsupportedMediaType(resource.patchTypes);
    }
  } catch (error) {
    if (error instanceof PatchSyntaxError) throw failure.badRequest(error.message);
    if (error instanceof PatchFailure) throw failure.unprocessable();
    throw error;
  }
}

function undecodable(resource: Resource, message: string): Error {
  return failure.badRequest(
    `${resource.kind} in version ${JSON.stringify(resource.version)} cannot be handled as a ${resource.kind}: ${message}`,
  );
}

function noNamespace(name: string): Error {
  return failure.notFound({ group: '', plural: 'namespaces', kind: 'Namespace' }, name);
}

function issueOf(violation: Violation, object: JsonObject): Issue {
  const value = getIn(object, ...violation.field.replace(/\[\d+\]/g, '').split('.'));
  const isPlain = value !== undefined && value !== null && !isObject(value) && !isArray(value);
  return {
    type: violation.reason,
    field: violation.field,
    ...(isPlain ? { value } : violation.reason === 'FieldValueInvalid' ? {} : {}),
    detail: violation.message,
  };
}

function atBirth(object: JsonObject): JsonObject {
  return withKey(object, 'status', undefined);
}

function withoutMetaAndStatus(object: JsonObject): JsonObject {
  const { metadata: _metadata, status: _status, ...rest } = object;
  return rest;
}

/** Whether two states differ in labels, annotations and bookkeeping at most. */
function onlyPeoplesMetadata(before: JsonObject, next: JsonObject): boolean {
  const { metadata: old, ...oldRest } = before;
  const { metadata: changed, ...rest } = next;
  if (!equal(oldRest, rest)) return false;
  if (!equal(finalizersOf(old), finalizersOf(changed))) return false;
  return equal(get(old, 'ownerReferences'), get(changed, 'ownerReferences'));
}

function revisionOf(object: JsonObject): number {
  return Number(getIn(object, 'metadata', 'resourceVersion') ?? 0);
}

function withRevision(object: JsonObject, revision: number): JsonObject {
  const metadata = object['metadata'];
  return { ...object, metadata: { ...(isObject(metadata) ? metadata : {}), resourceVersion: String(revision) } };
}

function deleted(resource: Resource, name: string, object: JsonObject): JsonObject {
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
