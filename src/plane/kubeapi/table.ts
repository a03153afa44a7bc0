import type { Kind, PlaneObject } from '#api';
import { getIn, scalarText, textOf, type Json, type JsonObject } from './json.ts';

/** A column of `kubectl get`. `date` values are RFC 3339 and printed as an age. */
export interface TableColumn {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: 0 | 1;
  value(object: JsonObject): Json | undefined;
}

const NAME_DESCRIPTION =
  'Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names';

export const NAME_COLUMN: TableColumn = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: NAME_DESCRIPTION,
  priority: 0,
  value: (object) => textOf(getIn(object, 'metadata', 'name')) ?? '',
};

export function kindColumns(kind: Kind): readonly TableColumn[] {
  return [
    NAME_COLUMN,
    ...kind.columns.map((column): TableColumn => ({
      name: column.name,
      type: column.type,
      format: '',
      description: column.description,
      priority: column.priority,
      // Stored objects of this kind are what its columns were written for.
      value: (object) => column.value(object as unknown as PlaneObject),
    })),
  ];
}

export type IncludeObject = 'None' | 'Metadata' | 'Object';

export interface TableOptions {
  readonly apiVersion: 'meta.k8s.io/v1' | 'meta.k8s.io/v1beta1';
  readonly includeObject: IncludeObject;
  readonly now: number;
}

export function columnDefinitions(columns: readonly TableColumn[]): Json {
  return columns.map(({ name, type, format, description, priority }) => ({ name, type, format, description, priority }));
}

export function tableRow(columns: readonly TableColumn[], object: JsonObject, options: TableOptions): JsonObject {
  const cells = columns.map((column): Json => {
    const value = column.value(object);
    if (value === undefined || value === null) return null;
    return column.type === 'date' ? ageOf(scalarText(value), options.now) : value;
  });
  const shown: JsonObject =
    options.includeObject === 'None'
      ? {}
      : { object: options.includeObject === 'Object' ? object : partialMetadata(object, options.apiVersion) };
  return { cells, ...shown };
}

export function partialMetadata(object: JsonObject, apiVersion = 'meta.k8s.io/v1'): JsonObject {
  return { kind: 'PartialObjectMetadata', apiVersion, metadata: object['metadata'] ?? {} };
}

/** `2m5s` since a time, as kubectl's own columns print it. */
export function ageOf(time: string, now: number): string {
  const at = Date.parse(time);
  return Number.isNaN(at) ? '<invalid>' : humanDuration(now - at);
}

/** `duration.HumanDuration` of apimachinery. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 60 * 2) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) {
    const rest = seconds % 60;
    return rest === 0 ? `${minutes}m` : `${minutes}m${rest}s`;
  }
  if (minutes < 60 * 3) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) {
    const rest = minutes % 60;
    return rest === 0 ? `${hours}h` : `${hours}h${rest}m`;
  }
  if (hours < 48) return `${hours}h`;
  if (hours < 24 * 8) {
    const rest = hours % 24;
    return rest === 0 ? `${Math.floor(hours / 24)}d` : `${Math.floor(hours / 24)}d${rest}h`;
  }
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24)}d`;
  if (hours < 24 * 365 * 8) {
    const days = Math.floor(hours / 24) % 365;
    const years = Math.floor(hours / 24 / 365);
    return days === 0 ? `${years}y` : `${years}y${days}d`;
  }
  return `${Math.floor(hours / 24 / 365)}y`;
}
