import type { Kind, PlaneObject } from '#api';
import type { Principal } from '#plane/http';

import { APPLY_PATCH, asStored, keyOfRequest, type Resource } from './resource.ts';
import { failure } from './status-error.ts';
import type { DeleteOptions } from './write-checks.ts';
import type { Writer, Written } from './writer.ts';
import { managerIssues, type WriteOptions } from './write-options.ts';
import { getIn, isObject, textOf, type Json } from './json.ts';
import type { Store } from '#plane/store';

export interface ClientApplyOptions {
  readonly fieldManager: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

export interface ClientWriteOptions {
  readonly fieldManager?: string;
  readonly dryRun?: boolean;
}

export interface ClientResult {
  readonly object: PlaneObject;
  readonly created: boolean;
  /** Sentences a person would be shown. */
  readonly warnings: readonly string[];
}

/** An object as somebody wrote it: validated like any other. */
export type UncheckedObject = Readonly<Record<string, unknown>>;

/**
 * The API from inside the process: the same validation, defaulting, admission, conflicts and audit as over the network, with
 * the same errors (StatusError). Unknown fields are refused.
 */
export interface KubeApiClient {
  apply(object: UncheckedObject, options: ClientApplyOptions): Promise<ClientResult>;
  create(object: UncheckedObject, options?: ClientWriteOptions): Promise<ClientResult>;
  update(object: UncheckedObject, options?: ClientWriteOptions): Promise<ClientResult>;
  get<S, T>(kind: Kind<S, T>, namespace: string, name: string): Promise<PlaneObject<S, T> | undefined>;
  /** False: there was none. With finalizers it is only marked. */
  delete(kind: Kind, namespace: string, name: string, options?: DeleteOptions & { readonly dryRun?: boolean }): Promise<boolean>;
}

export interface ClientOptions {
  readonly actor: string;
  readonly principal?: Principal;
  /** May write the kinds that controllers own. Default false. */
  readonly internal?: boolean;
}

export function createClient(
  store: Store,
  writer: Writer,
  resources: readonly Resource[],
  options: ClientOptions,
): KubeApiClient {
  const optionsOf = (given: ClientWriteOptions & { readonly force?: boolean }): WriteOptions => {
    const fieldManager = given.fieldManager ?? 'fairlead';
    const issues = managerIssues(fieldManager);
    if (issues.length > 0)
      throw failure.invalid({ group: 'meta.k8s.io', plural: 'patchoptions', kind: 'PatchOptions' }, '', issues);
    return {
      principal: options.principal ?? { type: 'admin', name: options.actor },
      actor: options.actor,
      dryRun: given.dryRun ?? false,
      fieldManager,
      fieldValidation: 'Strict',
      force: given.force ?? false,
      warnings: [],
      isInternal: options.internal ?? false,
    };
  };
  const locate = (object: UncheckedObject): { resource: Resource; namespace: string; name: string; body: Json } => {
    const resource = resources.find(
      (one) => one.apiVersion === object['apiVersion'] && one.kind === object['kind'] && one.verbs.includes('get'),
    );
    if (resource === undefined) {
      throw failure.badRequest(
        `no kind ${JSON.stringify(object['kind'])} in version ${JSON.stringify(object['apiVersion'])} on this plane`,
      );
    }
    // Through JSON, so that nothing of the caller's is shared and nothing but JSON gets in.
    const body = JSON.parse(JSON.stringify(object)) as Json;
    return {
      resource,
      namespace: resource.namespaced ? (textOf(getIn(body, 'metadata', 'namespace')) ?? '') : '',
      name: textOf(getIn(body, 'metadata', 'name')) ?? '',
      body,
    };
  };
  const resultOf = (written: Written, used: WriteOptions): ClientResult => ({
    object: asStored(written.object),
    created: written.created,
    warnings: used.warnings,
  });
  return {
    async apply(object, given) {
      const { resource, namespace, name, body } = locate(object);
      const used = optionsOf(given);
      const clean = isObject(body) ? body : {};
      return resultOf(await writer.patch({ resource, namespace, name, subresource: '' }, APPLY_PATCH, clean, used), used);
    },
    async create(object, given = {}) {
      const { resource, namespace, body } = locate(object);
      const used = optionsOf(given);
      return resultOf(await writer.create(resource, namespace, body, used), used);
    },
    async update(object, given = {}) {
      const { resource, namespace, name, body } = locate(object);
      const used = optionsOf(given);
      return resultOf(await writer.update({ resource, namespace, name, subresource: '' }, body, used), used);
    },
    get: (kind, namespace, name) => store.get(kind, { namespace: kind.scope === 'Namespaced' ? namespace : '', name }),
    async delete(kind, namespace, name, given = {}) {
      const resource = resources.find((one) => one.view === undefined && one.storeKind.kind === kind.kind);
      if (resource === undefined) throw failure.badRequest(`no kind ${kind.kind} on this plane`);
      if ((await store.get(kind, keyOfRequest(resource, namespace, name))) === undefined) return false;
      const { dryRun, ...preconditions } = given;
      try {
        await writer.remove(
          { resource, namespace, name, subresource: '' },
          preconditions,
          optionsOf(dryRun === undefined ? {} : { dryRun }),
        );
        return true;
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'FL_API_NOT_FOUND') return false;
        throw error;
      }
    },
  };
}
