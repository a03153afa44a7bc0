/**
 * render: files + values → canonical Kubernetes objects.
 *
 * Guarantees: the same request gives the same bytes, whenever and wherever it is rendered. Files are parsed and objects
 * printed by the Go libraries that kubectl uses, compiled to WebAssembly, in child processes that hold no secret of the
 * plane, see no file, network or environment, and are killed at a deadline and a memory maximum; a hostile input costs
 * its own project one failed render. Secret values leave the child only sealed to a cluster's key. Errors name file,
 * line and rule, and never a secret value.
 *
 * It is not a fetcher: files come in as bytes, links already resolved. It is not a validator of schemas: the API server
 * is. It does not add the owner mark: the agent does, when it applies.
 */
export * from './build.ts';
export * from './cache-key.ts';
export * from './limits.ts';
export { covers } from './listing.ts';
export { createRenderer, type Renderer, type RendererOptions } from './renderer.ts';
export * from './types.ts';
export { expandVariables, variableValue, type Expansion } from './variables.ts';
