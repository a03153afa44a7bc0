import { useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useRouterState } from '@tanstack/react-router';
import { useEffect, useMemo, useState } from 'react';
import { useFocusMemory } from '../focus.ts';
import { useKeys } from '../keys.ts';
import { listenForDoorbells, useLive } from '../live.ts';
import { applyTheme, currentTheme, type Theme } from '../theme.ts';
import { KeyHelp, Palette } from './palette.tsx';
import { useAge } from './time.tsx';

const pages = [
  ['/', 'Fleet', /^\/$/],
  ['/applications', 'Applications', /^\/(applications|a|d)(\/|$)/],
  ['/clusters', 'Clusters', /^\/(clusters|c)(\/|$)/],
  ['/changes', 'Changes', /^\/(changes|commits)(\/|$)/],
  ['/activity', 'Activity', /^\/activity$/],
] as const;

export function Frame(): React.ReactNode {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const isLogin = path === '/login';
  const [dialog, setDialog] = useState<'palette' | 'help'>();
  const queryClient = useQueryClient();
  useEffect(() => {
    // Without a session the line would only be refused.
    if (!isLogin) listenForDoorbells(queryClient);
  }, [isLogin, queryClient]);
  const open = useMemo(() => ({ palette: () => setDialog('palette'), help: () => setDialog('help') }), []);
  useKeys(open);
  useFocusMemory();
  const close = (): void => setDialog(undefined);
  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="top">
        <Link to="/" className="brand">
          <img src={new URL('../icon.svg', import.meta.url).href} alt="" width="24" height="24" />
          Fairlead
        </Link>
        {isLogin ? null : (
          <nav aria-label="Pages">
            {pages.map(([to, title, here]) => (
              <Link key={to} to={to} activeProps={{}} {...(here.test(path) ? { 'aria-current': 'page' as const } : {})}>
                {title}
              </Link>
            ))}
          </nav>
        )}
        <span className="spacer" />
        {isLogin ? null : <Contact />}
        {isLogin ? null : (
          <button type="button" className="quiet" onClick={open.palette}>
            Go to <kbd>Ctrl K</kbd>
          </button>
        )}
        <ThemeSwitch />
      </header>
      <main id="main" tabIndex={-1}>
        <Outlet />
      </main>
      {dialog === 'palette' && !isLogin ? <Palette onClose={close} /> : null}
      {dialog === 'help' ? <KeyHelp onClose={close} /> : null}
    </>
  );
}

/** Green while doorbells come; amber with the time of the last contact when the line is lost. */
function Contact(): React.ReactNode {
  const live = useLive();
  const age = useAge(live.lastHeardMs);
  return (
    <span className={live.connected === false ? 'contact contact-lost' : 'contact contact-live'}>
      <span className="dot" aria-hidden="true" />
      <span role="status">{live.connected === undefined ? 'connecting' : live.connected ? 'live' : 'no contact'}</span>
      {/* Beside what is read aloud: nobody wants to hear every second. */}
      {live.connected === false ? ` for ${age}` : null}
    </span>
  );
}

const next: Readonly<Record<Theme, Theme>> = { system: 'light', light: 'dark', dark: 'system' };

function ThemeSwitch(): React.ReactNode {
  const [theme, setTheme] = useState(currentTheme);
  return (
    <button
      type="button"
      className="quiet"
      onClick={() => {
        applyTheme(next[theme]);
        setTheme(next[theme]);
      }}
    >
      <span aria-hidden="true">◐ </span>
      <span className="hidden">Theme: </span>
      {theme === 'system' ? 'auto' : theme === 'light' ? 'light' : 'dark'}
    </button>
  );
}

export function NotFound(): React.ReactNode {
  return (
    <section className="empty">
      <h1>Nothing lives here</h1>
      <p>
        The address names no page. <Link to="/">Back to the fleet</Link>
      </p>
    </section>
  );
}
