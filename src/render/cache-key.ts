import { createHash, type Hash } from 'node:crypto';
import { sha256 } from '#base';
import { covers } from './listing.ts';
import type { ReadSet, RenderRequest } from './types.ts';
import { variableValue } from './variables.ts';

/**
 * `sha256:…` over what a render read: the files and their contents, the names it looked for, the variables it used with
 * their values, the options, and seed, commit time and recipients only where they had an influence. Two requests with
 * the same key under the same read set render to the same result, so a commit elsewhere in a monorepo renders nothing.
 *
 * A read set comes from an earlier render of the same application; when the key differs, render again and take the new
 * one. Pure.
 */
export function cacheKey(request: RenderRequest, readSet: ReadSet, rendererVersion: string): string {
  const hash = createHash('sha256');
  add(hash, 'fairlead render cache key 1', rendererVersion, optionsOf(request));
  const names = [...request.files.keys()].sort();
  for (const listing of readSet.listed) {
    add(hash, 'listing', JSON.stringify([listing.directory, listing.suffixes, listing.names, listing.recurse]));
    for (const name of names) if (covers(listing, name)) add(hash, name);
  }
  for (const file of [...new Set(readSet.files)].sort()) {
    const bytes = request.files.get(file);
    add(hash, 'file', file, bytes === undefined ? 'absent' : sha256(bytes));
  }
  for (const name of readSet.variables) {
    const value = variableValue(name, request.cluster);
    add(hash, 'variable', name, value === undefined ? 'absent' : `=${value}`);
  }
  if (readSet.randomness) add(hash, 'seed', request.seed);
  if (readSet.clock) add(hash, 'clock', String(request.commitTimeMs));
  if (readSet.hasSecrets) for (const part of recipientsOf(request)) add(hash, 'recipient', part);
  return `sha256:${hash.digest('hex')}`;
}

/**
 * `sha256:…` over everything the renderer is offered, whatever it would read: under this key an input that kills the
 * renderer is remembered. Recipients and seed do not count, they change nothing about what is parsed.
 */
export function contentKey(request: RenderRequest): string {
  const hash = createHash('sha256');
  add(hash, 'fairlead render content key 1', request.project, request.application, optionsOf(request));
  add(hash, request.cluster.name, ...pairs(request.cluster.labels), 'facts', ...pairs(request.cluster.facts));
  add(hash, 'capabilities', JSON.stringify(request.cluster.capabilities ?? null));
  for (const file of [...request.files.keys()].sort()) add(hash, file, sha256(request.files.get(file) ?? ''));
  return `sha256:${hash.digest('hex')}`;
}

function optionsOf(request: RenderRequest): string {
  const { render } = request;
  const sensitive = (request.sensitiveKinds ?? []).map((kind) => `${kind.group}/${kind.kind}`).sort();
  return JSON.stringify([
    render.engine,
    render.recurse,
    render.substitute,
    render.helm ?? null,
    render.kustomize ?? null,
    request.path ?? '.',
    request.fetched ?? [],
    request.defaultNamespace ?? null,
    sensitive,
  ]);
}

function recipientsOf(request: RenderRequest): string[] {
  // The key is hashed on its own: a cache key is stored, the equality key is a secret.
  return request.recipients.map((r) => JSON.stringify([r.cluster, r.ageRecipient, sha256(r.equalityKey)])).sort();
}

function pairs(record: Readonly<Record<string, string>>): string[] {
  return Object.entries(record)
    .map(([key, value]) => JSON.stringify([key, value]))
    .sort();
}

function add(hash: Hash, ...parts: readonly string[]): void {
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:${part}`);
}
