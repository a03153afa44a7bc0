import { FairleadError, messageOf } from '#base';
import { parseYaml, toJson } from '#kube';
import { get, isObject, scalarText, type Json, type JsonObject } from './json.ts';
import { coerceMetadata, MetadataTypeError } from './metadata.ts';
import { decodeProtobuf } from './protobuf.ts';
import type { Resource } from './resource.ts';
import { failure } from './status-error.ts';
import { applyDefaults, pruneUnknown } from './structural.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

const READABLE = ['application/json', 'application/yaml'];

/** A body of one of the content types this API reads. Throws 400 and 415. */
export function parseBody(body: Buffer, contentType: string): Json {
  switch (contentType) {
    case 'application/json':
    case '':
      try {
        return JSON.parse(body.toString('utf8')) as Json;
      } catch (error) {
        throw failure.badRequest(`the body is not valid JSON: ${messageOf(error)}`);
      }
    case 'application/yaml':
    case 'application/x-yaml':
    case 'text/yaml':
      return yamlBody(body);
    case 'application/vnd.kubernetes.protobuf':
      return decodeProtobuf(body);
    default:
      throw failure.unsupportedMediaType(READABLE);
  }
}

/** YAML, which JSON is too. */
export function yamlBody(body: Buffer): Json {
  try {
    // Through JSON: integers beyond 2^53 lose digits there, as they do in JSON bodies.
    return JSON.parse(toJson(parseYaml(body.toString('utf8'), { what: 'the body' }) ?? null)) as Json;
  } catch (error) {
    if (error instanceof FairleadError) throw failure.badRequest(`error decoding YAML: ${error.message}`);
    throw error;
  }
}

export interface Decoded {
  readonly object: JsonObject;
  /** Paths of fields that the schema does not know; they are not in the object any more. */
  readonly unknown: readonly string[];
}

/**
 * What a body says as an object of this resource: unknown fields and disallowed nulls gone, metadata as Go would write it,
 * defaults filled in. Throws 400 where it is of another version or has metadata of the wrong type.
 */
export function decodeObject(resource: Resource, value: Json): Decoded {
  if (!isObject(value))
    throw failure.badRequest(`the object provided is unrecognized (must be of type ${resource.kind}): it is no object`);
  const apiVersion = get(value, 'apiVersion') ?? resource.apiVersion;
  if (apiVersion !== resource.apiVersion) {
    throw failure.badRequest(
      `the API version in the data (${scalarText(apiVersion)}) does not match the expected API version (${resource.apiVersion})`,
    );
  }
  const kind = get(value, 'kind') ?? resource.kind;
  const unknown: string[] = [];
  let metadata: JsonObject;
  try {
    metadata = coerceMetadata(get(value, 'metadata'), unknown, true);
  } catch (error) {
    if (!(error instanceof MetadataTypeError)) throw error;
    throw failure.badRequest(
      `${resource.kind} in version ${JSON.stringify(resource.version)} cannot be handled as a ${resource.kind}: ${error.message}`,
    );
  }
  const below: string[] = [];
  const pruned = pruneUnknown(resource.schema, value, below);
  unknown.push(...below);
  const { metadata: _none, ...defaulted } = applyDefaults(resource.schema, { ...pruned, metadata: {} }) as JsonObject;
  return { object: { ...defaulted, apiVersion, kind, metadata }, unknown };
}

export function strictMessage(unknown: readonly string[]): string {
  return `strict decoding error: ${unknown.map((path) => `unknown field ${JSON.stringify(path)}`).join(', ')}`;
}

/** What to do about unknown fields: nothing, warn, or refuse. `refuse` makes the error for Strict. */
export function handleUnknown(
  unknown: readonly string[],
  validation: FieldValidation,
  warnings: string[],
  refuse: (message: string) => Error,
): void {
  if (unknown.length === 0 || validation === 'Ignore') return;
  if (validation === 'Strict') throw refuse(strictMessage(unknown));
  warnings.push(...unknown.map((path) => `unknown field ${JSON.stringify(path)}`));
}
