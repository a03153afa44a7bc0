import { Link } from '@tanstack/react-router';
import type { FilesView } from '#api';

/** The other sources that something was rendered from, each with its commit. */
export function FilesFrom({ files }: { readonly files: readonly FilesView[] }): React.ReactNode {
  return files.map(({ at, source, path, commit, subject }) => (
    <span key={at} className="line">
      <span className="muted">
        with <span className="mono">{at}/</span> from {path === '.' ? '' : `${path} of `}
        {source}
      </span>{' '}
      <Link className="mono" to="/commits/$commit" params={{ commit }}>
        {commit.slice(0, 10)}
      </Link>{' '}
      {subject ?? ''}
    </span>
  ));
}
