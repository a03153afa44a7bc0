import { useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { login } from '../api.ts';
import { useTitle } from '../title.ts';

/** A ready link carries the token behind `#`, which no server and no log ever sees; else it is pasted. */
export function LoginPage(): React.ReactNode {
  useTitle('Log in');
  const navigate = useNavigate();
  const [error, setError] = useState<string>();

  async function tryLogin(token: string): Promise<void> {
    try {
      await login(token);
      history.replaceState(undefined, '', '/login');
      await navigate({ to: '/', replace: true });
    } catch (thrown) {
      setError(thrown instanceof Error ? thrown.message : String(thrown));
    }
  }

  useEffect(() => {
    const token = location.hash.slice(1);
    if (token !== '') void tryLogin(decodeURIComponent(token));
    // oxlint-disable-next-line react-hooks/exhaustive-deps -- once, with the link as it was opened
  }, []);

  return (
    <section className="empty">
      <h1>Log in</h1>
      <form
        className="login"
        onSubmit={(event) => {
          event.preventDefault();
          const token = new FormData(event.currentTarget).get('token');
          if (typeof token === 'string') void tryLogin(token.trim());
        }}
      >
        <label>
          Admin token
          <input name="token" type="password" autoComplete="current-password" required />
        </label>
        <button type="submit">Log in</button>
      </form>
      {error === undefined ? null : <p role="alert">{error}</p>}
      <p className="muted">The plane wrote it to admin-token in its key directory when it first started.</p>
    </section>
  );
}
