import { Link, useParams } from '@tanstack/react-router';
import type { CommitView } from '#api';
import { useView } from '../api.ts';
import { Copy } from '../parts/copy.tsx';
import { Crumbs } from '../parts/crumbs.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { applicationText, DeliveryTable } from '../parts/delivery-table.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { ObjectLink } from '../parts/object-tree.tsx';
import { Age } from '../parts/time.tsx';
import { objectKey, objectText } from '../objects.ts';
import { useTitle } from '../title.ts';
import { ReleaseState } from './changes.tsx';

/** Everything that a commit touched, and how far it has got. */
export function CommitPage(): React.ReactNode {
  const { commit } = useParams({ from: '/commits/$commit' });
  useTitle(commit.slice(0, 10));
  const known = useView<CommitView>(`commits/${encodeURIComponent(commit)}`);
  return (
    <Loaded known={known}>
      {(view) => (
        <>
          <Crumbs items={[{ href: '/changes', title: 'Changes' }]} />
          <h1>{view.subject ?? commit.slice(0, 10)}</h1>
          <p className="lead">{capital(view.sentence)}.</p>
          <dl className="facts">
            <dt>Commit</dt>
            <dd className="mono">{view.commit}</dd>
            <dt>Author</dt>
            <dd>
              {view.author ?? 'not known'}, <Age at={view.committedAt} suffix=" ago" />
            </dd>
            <dt>Source</dt>
            <dd>
              {view.sources.map((source) => (
                <span key={`${source.project}/${source.name}`} className="line">
                  {applicationText(source.project, source.name)} <span className="muted">{source.url ?? ''}</span>
                </span>
              ))}
            </dd>
          </dl>
          {view.releases.map((release) => (
            <Touched key={`${release.project}/${release.release}`} release={release} />
          ))}
          <Copy
            commands={[
              ...(view.releases.every(({ diff }) => diff.startsWith('--files'))
                ? []
                : [`kubectl get releases -A --field-selector spec.source.commit=${view.commit}`]),
              ...view.releases
                .slice(0, 3)
                .map(({ application, project, diff }) => `fairlead diff ${application} ${diff} -n ${project}`),
            ]}
          />
        </>
      )}
    </Loaded>
  );
}

function Touched({ release }: { readonly release: CommitView['releases'][number] }): React.ReactNode {
  const { project, application, wanted } = release;
  return (
    <section>
      <h2>
        <Link data-row="" to="/a/$project/$application" params={{ project, application }}>
          {applicationText(project, application)}
        </Link>
        <span className="muted mono">{release.release}</span> <ReleaseState state={release.state} />
      </h2>
      <p className="muted">
        {release.changedClusters === 0
          ? `The content is that of ${release.against ?? 'before'} on all ${release.clusters} clusters; its settings differ.`
          : `Changes ${release.changedClusters} of ${release.clusters} clusters${release.against === undefined ? ', as the first release' : ` against ${release.against}`}.`}
        {wanted === 0 ? '' : ` ${release.ready} of ${wanted} have it and are well.`}
      </p>
      {release.objects.length === 0 ? null : (
        <DataTable
          label={`Objects of ${application}`}
          rows={release.objects}
          keyOf={(object) => `${object.change} ${objectKey(object.id)}`}
          head={{
            title: 'Object',
            cell: (object) =>
              object.change === 'removed' || wanted === 0 ? (
                `${object.id.kind} ${objectText(object.id)}`
              ) : (
                <ObjectLink at={{ project, application, cluster: object.cluster }} id={object.id}>
                  {object.id.kind} {objectText(object.id)}
                </ObjectLink>
              ),
          }}
          columns={[
            { title: 'Change', cell: (object) => object.change },
            {
              title: 'Where',
              cell: (object) => (object.clusters === 1 ? object.cluster : `${object.clusters} clusters`),
            },
          ]}
        />
      )}
      {release.moreObjects === 0 ? null : <p className="muted">and {release.moreObjects} more objects</p>}
      {release.deliveries.length === 0 ? null : (
        <>
          <h3>Not there yet</h3>
          <DeliveryTable cells={release.deliveries} by="cluster" />
        </>
      )}
    </section>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
