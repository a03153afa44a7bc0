import { useState } from 'react';

/** A command that says the same as the view, ready to be pasted. */
export function Copy({ commands }: { readonly commands: readonly string[] }): React.ReactNode {
  return (
    <p className="copy">
      {commands.map((command) => (
        <CopyOne key={command} command={command} />
      ))}
    </p>
  );
}

function CopyOne({ command }: { readonly command: string }): React.ReactNode {
  const [copied, setCopied] = useState(false);
  return (
    <button
      type="button"
      className="command"
      title="Copy"
      onClick={() => {
        void navigator.clipboard.writeText(command).then(() => {
          setCopied(true);
          setTimeout(() => setCopied(false), 1500);
        });
      }}
    >
      <code>{command}</code>
      <span aria-live="polite">{copied ? 'copied' : 'copy'}</span>
    </button>
  );
}
