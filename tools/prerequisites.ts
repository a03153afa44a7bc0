/** What tests against real parts need from the machine: says what it installs, names what it cannot have. */
export interface PreparedParts {
  /** Environment for the test processes. */
  readonly env: Record<string, string>;
  /** Parts this machine cannot have; the tests that need one skip by name. */
  readonly missing: readonly string[];
  stop(): Promise<void>;
}

export async function preparePrerequisites(): Promise<PreparedParts> {
  return { env: {}, missing: [], stop: () => Promise.resolve() };
}
