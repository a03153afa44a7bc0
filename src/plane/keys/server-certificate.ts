import type { Clock } from '#base';
import { isCurrent, makeServerCertificate, namesOf, stillServes, type KeyPairPem } from './certificates.ts';
import type { SecretFiles } from './secret-files.ts';

const FILE = 'server.json';

/**
 * The certificate under which the plane's own authority vouches for its listeners. Processes that share a key directory share
 * the certificate: of several that renew it, the last one counts, and the others take it over at their next `refresh`. Where
 * the keys are read-only (a mounted Secret) each process has one of its own, in memory, by the same authority.
 */
export class ServerCertificate {
  readonly #files: SecretFiles;
  readonly #authority: KeyPairPem;
  readonly #names: readonly string[];
  readonly #clock: Clock;
  #pair: KeyPairPem | undefined;

  constructor(files: SecretFiles, authority: KeyPairPem, names: readonly string[], clock: Clock) {
    this.#files = files;
    this.#authority = authority;
    this.#names = [...new Set(names)];
    this.#clock = clock;
  }

  /** What `refresh` found last; it has been called. */
  get pair(): KeyPairPem {
    if (this.#pair === undefined) throw new TypeError('the certificate is refreshed before it is used');
    return this.#pair;
  }

  /** Looks what is on file, and makes a new one when that does not serve any more. Whether `pair` is another one now. */
  async refresh(): Promise<boolean> {
    const next = await this.#next();
    const isOther = next.cert !== this.#pair?.cert;
    this.#pair = next;
    return isOther;
  }

  async #next(): Promise<KeyPairPem> {
    const stored = this.#read();
    if (stored !== undefined && this.#serves(stored)) return stored;
    if (this.#files.isReadOnly && this.#pair !== undefined && this.#serves(this.#pair)) return this.#pair;
    // Names of another process stay, or the two would take turns at replacing it.
    const others = stored !== undefined && isCurrent(stored, this.#authority, this.#clock.now()) ? namesOf(stored) : [];
    const made = await makeServerCertificate(
      this.#authority,
      [...new Set([...this.#names, ...others])].slice(0, MAX_NAMES),
      this.#clock.now(),
    );
    if (this.#files.isReadOnly) return made;
    this.#files.write(FILE, JSON.stringify(made));
    // Another process may have written since.
    return this.#read() ?? made;
  }

  #serves(pair: KeyPairPem): boolean {
    return stillServes(pair, this.#authority, this.#names, this.#clock.now());
  }

  #read(): KeyPairPem | undefined {
    const text = this.#files.read(FILE);
    return text === undefined ? undefined : (JSON.parse(text) as KeyPairPem);
  }
}

/** Names that nobody asks for any more go when the certificate is next renewed; until then they do not pile up. */
const MAX_NAMES = 100;
