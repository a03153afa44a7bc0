/** What the address bar may say behind the question mark. */
export interface FleetSearch {
  readonly group?: string;
  readonly where?: string;
}

export interface ActivitySearch {
  readonly project?: string;
  readonly cluster?: string;
  readonly type?: string;
}
