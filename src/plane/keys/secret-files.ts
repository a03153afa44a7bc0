import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { codeOf, FairleadError, messageOf } from '#base';

/** A directory of small secret files: mode 0700, files 0600, each written whole and durable or not at all. */
export class SecretFiles {
  readonly dir: string;
  /** On a file system that cannot be written to, such as a mounted Secret. */
  readonly isReadOnly: boolean;

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
    this.isReadOnly = isReadOnly(dir);
    const found = statSync(dir);
    let mode = found.mode & 0o077;
    // A kubelet opens the files of a volume to the group of the pod (fsGroup); it is our own directory, and closed again.
    if (mode !== 0 && (mode & 0o007) === 0 && !this.isReadOnly && found.uid === process.getuid?.()) {
      chmodSync(dir, 0o700);
      mode = statSync(dir).mode & 0o077;
    }
    // Who mounts a Secret decides who sees it, and gives the directory a mode of its own.
    if (mode !== 0 && !this.isReadOnly) {
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

  /** The file's text, made and written by `make` when it is not there. Of several processes that make it, the first counts. */
  readOrMake(name: string, make: () => string): string {
    return this.read(name) ?? this.writeFirst(name, make());
  }

  /** Writes the file unless it is there; what it holds then. */
  writeFirst(name: string, text: string): string {
    const mine = `${name}.${process.pid}.first`;
    this.write(mine, text);
    try {
      linkSync(join(this.dir, mine), join(this.dir, name));
      return text;
    } catch (cause) {
      if (codeOf(cause) !== 'EEXIST') {
        throw new FairleadError('FL_KEYS_WRITE', `cannot write ${join(this.dir, name)}: ${messageOf(cause)}`, {
          kind: 'unavailable',
          cause,
        });
      }
      return this.read(name) ?? text;
    } finally {
      rmSync(join(this.dir, mine), { force: true });
    }
  }
}

function isReadOnly(dir: string): boolean {
  try {
    accessSync(dir, constants.W_OK);
    return false;
  } catch (error) {
    return codeOf(error) === 'EROFS' || codeOf(error) === 'EACCES';
  }
}
