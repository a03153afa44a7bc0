import { useEffect, useRef, useState } from 'react';

/** The same view for a terminal: commands ready to be pasted. */
export function Copy({ commands }: { readonly commands: readonly string[] }): React.ReactNode {
  return (
    <section className="copy" aria-label="The same in a terminal">
      <h2>The same in a terminal</h2>
      <p>
        {commands.map((command) => (
          <Command key={command} command={command} />
        ))}
      </p>
    </section>
  );
}

/** One command; a click takes it to the clipboard. */
export function Command({ command, words }: { readonly command: string; readonly words?: string }): React.ReactNode {
  const [said, setSaid] = useState<string>();
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const tell = (text: string): void => {
    setSaid(text);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setSaid(undefined), 1500);
  };
  return (
    <button
      type="button"
      className="command"
      onClick={() => {
        navigator.clipboard.writeText(command).then(
          () => tell('copied'),
          () => tell('select it and copy by hand'),
        );
      }}
    >
      {words === undefined ? null : <span className="command-words">{words}</span>}
      <code>{command}</code>
      <span className="command-said" aria-live="polite">
        {said ?? 'copy'}
      </span>
    </button>
  );
}
