/** Characters that rewrite a terminal, a log line or the order of what is read: C0, C1, and the marks of writing direction. */
const controls = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;
const allControls = new RegExp(controls, 'gu');

export function hasControls(text: string): boolean {
  return controls.test(text);
}

/** Words from outside, fit for a message: controls become spaces. */
export function printable(text: string, most: number): string {
  return text.replaceAll(allControls, ' ').replaceAll('\ufffd', ' ').trim().slice(0, most);
}

/** A name from outside, fit for a message: controls are written as escapes. */
export function quoted(name: string): string {
  const safe = name.replaceAll(allControls, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return safe.length > 200 ? `${safe.slice(0, 200)}…` : safe;
}
