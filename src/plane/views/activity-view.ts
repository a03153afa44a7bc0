import type { ActivityItem, ActivityView } from '#api';
import type { FleetIndex } from './fleet-index.ts';

export interface ActivityQuery {
  readonly project: string | undefined;
  readonly application: string | undefined;
  readonly cluster: string | undefined;
  readonly kind: string | undefined;
  readonly type: string | undefined;
  readonly limit: number;
  /** `next` of the page before. */
  readonly before: string | undefined;
}

/** What happened, newest first. */
export function activityView(index: FleetIndex, query: ActivityQuery, now: string): ActivityView {
  const items: ActivityItem[] = [];
  let next: string | undefined;
  let last: string | undefined;
  for (const [key, item] of index.events()) {
    if (query.before !== undefined && key >= query.before) continue;
    if (!matches(item, query)) continue;
    if (items.length === query.limit) {
      next = last;
      break;
    }
    items.push(item);
    last = key;
  }
  return { revision: index.revision, at: now, items, next };
}

function matches(item: ActivityItem, { project, application, cluster, kind, type }: ActivityQuery): boolean {
  return (
    (project === undefined || item.namespace === project) &&
    (application === undefined || item.application === application) &&
    (cluster === undefined || item.cluster === cluster) &&
    (kind === undefined || item.kind === kind) &&
    (type === undefined || item.type === type)
  );
}
