/** Shorter values keep no secret, and are in every text. */
const shortest = 4;
/** Up to here a value is only taken as a word of its own: `admin` is not in `administrator`. */
const longestWord = 7;
/** Of a longer value (a file, a connection string), what else is a secret by its looks: letters and digits, in one piece. */
const generated = /[A-Za-z0-9_+/=~.!@#$%^&*-]{8,}/g;
/** The password of a URL or connection string: `postgres://app:PASSWORD@db`. */
const urlPassword = /:\/\/[^\s/:@]*:([^\s/@]+)@/g;
/** What a file of settings says under a name that says what it is: `DB_PASSWORD=…`, `"token": "…"`, `Password=…;`. */
const named =
  /(?:pass(?:word|wd|phrase)?|pwd|secret|token|credential|api[-_]?key|private[-_]?key)[\w.-]{0,40}["']?[ \t]*[:=][ \t]*(?:"([^"\n]+)"|'([^'\n]+)'|([^\s,;&"'{}[\]]+))/gi;
/** Values taken out of one text; one that has more is not shown at all. */
const most = 5_000;

export const REDACTED = '[redacted]';

/**
 * The notes of a chart without what it also puts into Secrets: every value of `data` and `stringData` of these objects, as it is
 * and in base64, and what in longer values looks generated or is named a password. A chart that prints its password at the end
 * prints `[redacted]`.
 * Runs where the clear values are, in the child. `bodies`: canonical JSON of sensitive objects. Pure.
 */
export function redactNotes(notes: string, bodies: readonly Uint8Array[]): string {
  if (notes === '' || bodies.length === 0) return notes;
  const secrets = new Set<string>();
  for (const body of bodies) {
    // What the module made: canonical JSON.
    const object = JSON.parse(Buffer.from(body).toString('utf8')) as Readonly<Record<string, unknown>>;
    for (const text of textsOf(object)) for (const one of formsOf(text)) secrets.add(one);
    if (secrets.size > most) return `${REDACTED} (more secrets than can be looked for)`;
  }
  // The longest first: a part of a value must not leave the rest of it.
  const ordered = [...secrets].sort((a, b) => b.length - a.length);
  let text = notes;
  for (const secret of ordered) {
    if (!text.includes(secret)) continue;
    text = secret.length > longestWord ? text.replaceAll(secret, REDACTED) : withoutWord(text, secret);
  }
  return text;
}

/** Strings of everything but the metadata: of other sensitive kinds nobody knows which field is the secret. */
function* textsOf(object: Readonly<Record<string, unknown>>): Generator<string> {
  const isSecret = object['kind'] === 'Secret' && object['apiVersion'] === 'v1';
  for (const [name, value] of Object.entries(object)) {
    if (['apiVersion', 'kind', 'metadata', ...(isSecret ? ['type', 'immutable'] : [])].includes(name)) continue;
    for (const text of stringsIn(value)) {
      yield text;
      if (isSecret && name === 'data') yield Buffer.from(text, 'base64').toString('utf8');
    }
  }
}

function* stringsIn(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) yield* stringsIn(inner);
}

function* formsOf(text: string): Generator<string> {
  const trimmed = text.trim();
  if (trimmed.length < shortest) return;
  yield trimmed;
  for (const form of [
    Buffer.from(text).toString('base64'),
    Buffer.from(trimmed).toString('base64'),
    encodeURIComponent(trimmed.toWellFormed()),
    // As toJson and quote write it.
    JSON.stringify(trimmed).slice(1, -1),
  ])
    if (form.length >= shortest) yield form;
  for (const line of trimmed.split(/\r?\n/)) if (line.trim().length > longestWord) yield line.trim();
  for (const [piece] of trimmed.matchAll(generated)) if (/\d/.test(piece) && /[A-Za-z]/.test(piece)) yield piece;
  for (const [, password = ''] of trimmed.matchAll(urlPassword)) {
    if (password.length >= shortest) yield password;
    const plain = decoded(password);
    if (plain.length >= shortest) yield plain;
  }
  for (const [, ...values] of trimmed.matchAll(named)) {
    const value = values.find((one) => one !== undefined)?.trim() ?? '';
    if (value.length >= shortest) yield value;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

function withoutWord(text: string, word: string): string {
  const isPart = (character: string | undefined): boolean => character !== undefined && /[\p{L}\p{N}_]/u.test(character);
  let out = '';
  let from = 0;
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
    const isWord = !isPart(text[at - 1]) && !isPart(text[at + word.length]);
    out += text.slice(from, at) + (isWord ? REDACTED : word);
    from = at + word.length;
  }
  return out + text.slice(from);
}
