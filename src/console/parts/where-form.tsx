import type { PlaneError } from '../api.ts';

/** A label selector as kubectl reads it. What cannot be read is explained beside it, and the last answer stays below. */
export function WhereForm({
  label,
  where,
  error,
  onWhere,
  children,
}: {
  readonly label: string;
  readonly where: string;
  readonly error: PlaneError | undefined;
  readonly onWhere: (where: string) => void;
  readonly children?: React.ReactNode;
}): React.ReactNode {
  const isUnread = error?.status === 400 && where !== '';
  return (
    <form
      className="controls"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        const text = new FormData(event.currentTarget).get('where');
        onWhere(typeof text === 'string' ? text.trim() : '');
      }}
    >
      {children}
      <label>
        {label}
        <input
          key={where}
          name="where"
          type="search"
          defaultValue={where}
          placeholder="env=prod,region in (eu,us)"
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="off"
          aria-invalid={isUnread}
          {...(isUnread ? { 'aria-describedby': 'where-fault' } : {})}
        />
      </label>
      <button type="submit">Filter</button>
      {where === '' ? null : (
        <button type="button" className="quiet" onClick={() => onWhere('')}>
          Clear
        </button>
      )}
      {isUnread ? (
        <p id="where-fault" className="fault" role="alert">
          This is no label selector: {error.message}. Write it as for kubectl: <code>env=prod</code>, <code>env!=dev</code>,{' '}
          <code>region in (eu,us)</code>, <code>!legacy</code>, joined by commas.
        </p>
      ) : null}
    </form>
  );
}
