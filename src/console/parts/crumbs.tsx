import { Link } from '@tanstack/react-router';

/** Where a page lies; Esc goes to the last of them. */
export function Crumbs({
  items,
}: {
  readonly items: readonly { readonly href: string; readonly title: string }[];
}): React.ReactNode {
  return (
    <nav className="crumbs" aria-label="Above this page">
      {items.map(({ href, title }, index) => (
        <Link key={href} to={href} {...(index === items.length - 1 ? { 'data-up': '' } : {})}>
          {title}
        </Link>
      ))}
    </nav>
  );
}

/** Addresses of things; every part is encoded. */
export const pathTo = {
  application: (project: string, name: string): string => `/a/${encodeURIComponent(project)}/${encodeURIComponent(name)}`,
  cluster: (name: string): string => `/c/${encodeURIComponent(name)}`,
  delivery: (project: string, application: string, cluster: string): string =>
    `/d/${[project, application, cluster].map(encodeURIComponent).join('/')}`,
  commit: (commit: string): string => `/commits/${encodeURIComponent(commit)}`,
};
