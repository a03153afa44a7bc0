/**
 * A word for a shell command: names stay as they are, everything else is quoted. The same as the api room's, of which this
 * room takes types alone: its barrel would bring every kind into the browser.
 */
export function shellWord(word: string): string {
  return /^[\w./:@-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
