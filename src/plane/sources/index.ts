/**
 * sources: from a GitRepository or ChartRepository to its Snapshots. Looks at each repository (at intervals, on request, when
 * something about it changed) by one bounded fetch of exactly the wanted reference into a bare mirror, or of the wanted charts
 * (charts/) into a cache, and lets others read the files of a commit or chart from there.
 *
 * Guarantees: a status is written only when it changes; a failed look keeps the last Snapshot and says why; nothing of a
 * repository is ever executed, checked out or used as a path on this machine; a credential goes to the host it is for and
 * into no argument, file or message. A mirror is a cache and may be deleted at any time.
 *
 * follow-sources.ts says when to look, the same for every kind of source; sources.ts (Git) and charts/ say how.
 * `/hooks` makes a look sooner and says nothing more.
 *
 * It renders nothing, and knows Applications only by the references they name.
 */
export { createSources, type Sources, type SourcesOptions } from './sources.ts';
export { defaultSourceLimits, type SourceLimits } from './mirror.ts';
export type { Snapshot, TreeFile } from './snapshot-reader.ts';
export { hookRoutes, type HookOptions } from './hooks/hook-routes.ts';
export type { Decrypt } from './look.ts';
export { createCharts, type Charts, type ChartsOptions } from './charts/charts.ts';
export {
  RemoteResolver,
  type Remote,
  type RemoteBase,
  type RemoteChart,
  type RemoteFile,
  type ResolveContext,
  type Resolved,
  type ResolverOptions,
} from './remote/resolve-references.ts';
