/** What the address bar may say behind the question mark. `where` is a label selector as kubectl writes it. */
export interface FleetSearch {
  readonly group?: string;
  readonly where?: string;
}

export interface ListSearch {
  readonly where?: string;
  readonly sort?: 'name';
}

export interface ActivitySearch {
  readonly project?: string;
  readonly application?: string;
  readonly cluster?: string;
  readonly type?: string;
}

export interface ChangesSearch {
  readonly project?: string;
}

/** `search` with one value set, or without it for ''. */
export function withValue<S extends object>(search: S, key: keyof S, value: string): S {
  const { [key]: _dropped, ...rest } = search;
  return (value === '' ? rest : { ...rest, [key]: value }) as S; // the keys of S and nothing else
}
