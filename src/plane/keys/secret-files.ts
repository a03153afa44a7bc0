import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, FairleadError, messageOf } from '#base';

/** A directory of small secret files: mode 0700, files 0600, each written whole and durable or not at all. */
export class SecretFiles {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new FairleadError('FL_KEYS_DIR', `cannot make the key directory ${dir}: ${messageOf(cause)}`, {
        kind: 'invalid',
        cause,
      });
    }
    const mode = statSync(dir).mode & 0o077;
    if (mode !== 0) {
      throw new FairleadError('FL_KEYS_MODE', `the key directory ${dir} can be read by others; run chmod 700 on it`, {
        kind: 'invalid',
      });
    }
  }

  read(name: string): string | undefined {
    try {
      return readFileSync(join(this.dir, name), 'utf8');
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT') return undefined;
      throw new FairleadError('FL_KEYS_READ', `cannot read ${join(this.dir, name)}: ${messageOf(cause)}`, {
        kind: 'unavailable',
        cause,
      });
    }
  }

  has(name: string): boolean {
    return existsSync(join(this.dir, name));
  }

  write(name: string, text: string): void {
    const path = join(this.dir, name);
    const temporary = `${path}.${process.pid}.new`;
    try {
      const file = openSync(temporary, 'w', 0o600);
      try {
        writeSync(file, text);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(temporary, path);
      const directory = openSync(this.dir, 'r');
      try {
        fsyncSync(directory);
      } finally {
        closeSync(directory);
      }
    } catch (cause) {
      throw new FairleadError('FL_KEYS_WRITE', `cannot write ${path}: ${messageOf(cause)}`, { kind: 'unavailable', cause });
    }
  }

  /** The file's text, made and written by `make` when it is not there. */
  readOrMake(name: string, make: () => string): string {
    const found = this.read(name);
    if (found !== undefined) return found;
    const made = make();
    this.write(name, made);
    return made;
  }
}
