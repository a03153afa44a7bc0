import type { DeliveryState } from '#api';

export const stateWords: Readonly<Record<DeliveryState, string>> = {
  ready: 'what Git says',
  progressing: 'on its way',
  waiting: 'waiting',
  drifted: 'drifted',
  blocked: 'held',
  failed: 'failed',
  unknown: 'no contact',
};

/** A state as shape and colour: readable without colour, and in one glance. */
export function StateMark({ state, size = 14 }: { readonly state: DeliveryState; readonly size?: number }): React.ReactNode {
  return (
    <svg className={`mark mark-${state}`} width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      {shapes[state]}
    </svg>
  );
}

const shapes: Readonly<Record<DeliveryState, React.ReactNode>> = {
  ready: <rect x="1.5" y="1.5" width="13" height="13" rx="3" fill="currentColor" />,
  progressing: (
    <>
      <rect x="2.25" y="2.25" width="11.5" height="11.5" rx="3" fill="none" stroke="currentColor" strokeWidth="1.5" />
      <path d="M2.5 8h11v3a2.5 2.5 0 0 1-2.5 2.5H5A2.5 2.5 0 0 1 2.5 11z" fill="currentColor" />
    </>
  ),
  waiting: (
    <rect
      x="2.25"
      y="2.25"
      width="11.5"
      height="11.5"
      rx="3"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeDasharray="3 2"
    />
  ),
  drifted: <path d="M8 1.8 15 14H1z" fill="currentColor" stroke="currentColor" strokeLinejoin="round" />,
  blocked: (
    <>
      <rect x="1.5" y="1.5" width="13" height="13" rx="3" fill="currentColor" opacity="0.25" />
      <path d="M5.6 4.5v7M10.4 4.5v7" stroke="currentColor" strokeWidth="2.2" strokeLinecap="round" />
    </>
  ),
  failed: (
    <>
      <path d="M8 .8 15.2 8 8 15.2.8 8z" fill="currentColor" />
      <path d="M8 4.8v3.6M8 10.9v.2" stroke="var(--surface)" strokeWidth="1.8" strokeLinecap="round" />
    </>
  ),
  unknown: (
    <>
      <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" strokeWidth="1.5" strokeDasharray="2 2.2" />
      <circle cx="8" cy="8" r="1.6" fill="currentColor" />
    </>
  ),
};

export function StateBadge({ state }: { readonly state: DeliveryState }): React.ReactNode {
  return (
    <span className={`badge badge-${state}`}>
      <StateMark state={state} size={12} />
      {stateWords[state]}
    </span>
  );
}
