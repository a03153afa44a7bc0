/** What the process of the simulated agents is told. */
export type Order =
  | {
      readonly do: 'join';
      readonly url: string;
      readonly ca: string;
      readonly tokens: readonly string[];
      /** How long a poll asks to be held, ms. */
      readonly waitMs: number;
    }
  | { readonly do: 'stop' };

/** What it says; times are of Date.now(), which both processes share. */
export type Told =
  | { readonly is: 'joined' }
  /** A new document was checked and its content fetched, after being asked for by `cluster`. */
  | { readonly is: 'arrived'; readonly cluster: string; readonly at: number; readonly releases: readonly string[] }
  /** An agent whose last request failed got an answer again. */
  | { readonly is: 'back'; readonly cluster: string; readonly at: number }
  | { readonly is: 'lost'; readonly cluster: string; readonly at: number; readonly why: string }
  | { readonly is: 'failed'; readonly why: string };
