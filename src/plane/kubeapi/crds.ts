import type { Kind } from '#api';
import type { Json, JsonObject } from './json.ts';
import { resourceOfKind } from './resource.ts';
import { API_VERSION_DESCRIPTION, KIND_DESCRIPTION } from './structural.ts';

/**
 * apiextensions/v1 CustomResourceDefinitions of these kinds: the same schema, columns and selectable fields as this API
 * serves them with. For tools that want CRDs, and for the comparison with a real API server.
 */
export function crdsOf(kinds: readonly Kind[]): JsonObject[] {
  return kinds.map((kind) => {
    const resource = resourceOfKind(kind);
    const properties = resource.schema['properties'] as JsonObject;
    return {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${resource.plural}.${resource.group}` },
      spec: {
        group: resource.group,
        scope: kind.scope,
        names: {
          kind: resource.kind,
          listKind: `${resource.kind}List`,
          plural: resource.plural,
          singular: resource.singular,
          ...(resource.shortNames.length === 0 ? {} : { shortNames: [...resource.shortNames] }),
          ...(resource.categories.length === 0 ? {} : { categories: [...resource.categories] }),
        },
        versions: [
          {
            name: resource.version,
            served: true,
            storage: true,
            subresources: { status: {} },
            schema: {
              openAPIV3Schema: {
                ...resource.schema,
                properties: {
                  ...properties,
                  apiVersion: { type: 'string', description: API_VERSION_DESCRIPTION },
                  kind: { type: 'string', description: KIND_DESCRIPTION },
                },
              },
            },
            ...(kind.columns.length === 0
              ? {}
              : {
                  additionalPrinterColumns: kind.columns.map(({ name, type, description, priority, jsonPath }): Json => ({
                    name,
                    type,
                    description,
                    priority,
                    jsonPath,
                  })),
                }),
            ...(kind.selectable.length === 0
              ? {}
              : { selectableFields: kind.selectable.map((path) => ({ jsonPath: `.${path}` })) }),
          },
        ],
      },
    };
  });
}
