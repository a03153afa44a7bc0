import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { FairleadError } from '#base';
import type { Git } from './git.ts';

/** What a name resolves to. */
export interface ObjectInfo {
  readonly oid: string;
  readonly type: string;
  readonly bytes: number;
}

const idleMs = 10_000;
const deadlineMs = 60_000;
/** Questions after which a process is replaced: git remembers every object it has parsed. */
const questionsPerProcess = 50_000;

/**
 * Reads objects of one repository through two long-lived `git cat-file` processes. Starting a process costs a large program
 * several milliseconds of its event loop; a commit that concerns a hundred Applications would start hundreds. They end when
 * nothing was asked for a while, and with this process.
 *
 * Errors: `FL_SOURCE_GONE` (retryable) when git ended, hung, or an object to read is not there.
 */
export class ObjectReader {
  readonly #checks: Channel;
  readonly #contents: Channel;

  constructor(dir: string, git: Git) {
    this.#checks = new Channel(() => git.open([`--git-dir=${dir}`, 'cat-file', '--batch-check']), false);
    this.#contents = new Channel(() => git.open([`--git-dir=${dir}`, 'cat-file', '--batch']), true);
  }

  /** What each name is; undefined for what is not there. Names hold no line break. */
  async check(names: readonly string[]): Promise<readonly (ObjectInfo | undefined)[]> {
    return (await this.#checks.ask(names)).map((answer) => answer?.info);
  }

  /** Contents in the order of the ids. Who asks has checked that there is room for them. */
  async read(oids: readonly string[]): Promise<readonly Buffer[]> {
    const answers = await this.#contents.ask(oids);
    return answers.map((answer) => {
      if (answer?.content === undefined) throw gone('an object is missing');
      return answer.content;
    });
  }

  /** Ends the processes; what is under way fails. The next question starts them again. */
  close(): void {
    this.#checks.close();
    this.#contents.close();
  }
}

interface Answer {
  readonly info: ObjectInfo;
  readonly content: Buffer | undefined;
}

interface Asked {
  readonly answers: (Answer | undefined)[];
  readonly count: number;
  readonly resolve: (answers: readonly (Answer | undefined)[]) => void;
  readonly reject: (error: Error) => void;
  readonly deadline: NodeJS.Timeout;
}

/** One process: questions as lines in, answers in the same order out. */
class Channel {
  readonly #open: () => ChildProcessWithoutNullStreams;
  readonly #hasContent: boolean;
  #child: ChildProcessWithoutNullStreams | undefined;
  #asked: Asked[] = [];
  #questions = 0;
  #idle: NodeJS.Timeout | undefined;
  /** What has come and is not yet part of an answer. */
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes below which looking at what has come is of no use. */
  #needed = 1;

  constructor(open: () => ChildProcessWithoutNullStreams, hasContent: boolean) {
    this.#open = open;
    this.#hasContent = hasContent;
  }

  ask(names: readonly string[]): Promise<readonly (Answer | undefined)[]> {
    if (names.length === 0) return Promise.resolve([]);
    if (this.#questions > questionsPerProcess && this.#asked.length === 0) this.close();
    const child = (this.#child ??= this.#start());
    clearTimeout(this.#idle);
    this.#questions += names.length;
    return new Promise((resolve, reject) => {
      const deadline = setTimeout(() => this.#fail(child, `git did not answer within ${deadlineMs} ms`), deadlineMs);
      this.#asked.push({ answers: [], count: names.length, resolve, reject, deadline });
      child.stdin.write(`${names.join('\n')}\n`);
    });
  }

  close(): void {
    if (this.#child !== undefined) this.#fail(this.#child, 'the mirror is being changed');
  }

  #start(): ChildProcessWithoutNullStreams {
    const child = this.#open();
    this.#questions = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      if (child === this.#child) this.#take(chunk);
    });
    child.stderr.resume();
    child.stdin.on('error', () => undefined);
    child.on('error', () => this.#fail(child, 'git could not be started'));
    child.on('close', () => this.#fail(child, 'git ended'));
    return child;
  }

  #fail(child: ChildProcessWithoutNullStreams, why: string): void {
    child.kill('SIGKILL');
    if (child !== this.#child) return;
    this.#child = undefined;
    clearTimeout(this.#idle);
    this.#chunks = [];
    this.#bytes = 0;
    this.#needed = 1;
    for (const { reject, deadline } of this.#asked.splice(0)) {
      clearTimeout(deadline);
      reject(gone(why));
    }
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#needed) return;
    const buffer = Buffer.concat(this.#chunks);
    let at = 0;
    this.#needed = 1;
    for (;;) {
      const end = buffer.indexOf(0x0a, at);
      if (end < 0) break;
      const info = parseInfo(buffer.toString('utf8', at, end));
      if (info === undefined || !this.#hasContent) {
        at = end + 1;
        this.#answered(info === undefined ? undefined : { info, content: undefined });
        continue;
      }
      const next = end + 1 + info.bytes + 1;
      if (buffer.length < next) {
        this.#needed = next - at;
        break;
      }
      // A copy: an answer that is kept must not keep everything that came with it.
      this.#answered({ info, content: Buffer.from(buffer.subarray(end + 1, next - 1)) });
      at = next;
    }
    const rest = buffer.subarray(at);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
  }

  #answered(answer: Answer | undefined): void {
    const first = this.#asked[0];
    if (first === undefined) return;
    first.answers.push(answer);
    if (first.answers.length < first.count) return;
    this.#asked.shift();
    clearTimeout(first.deadline);
    first.resolve(first.answers);
    const child = this.#child;
    if (this.#asked.length > 0 || child === undefined) return;
    this.#idle = setTimeout(() => this.#fail(child, 'idle'), idleMs);
    this.#idle.unref();
  }
}

/** `<oid> <type> <size>`; `<name> missing` and the like give undefined. */
function parseInfo(line: string): ObjectInfo | undefined {
  const match = /^([0-9a-f]{40}) (blob|tree|commit|tag) (\d{1,15})$/.exec(line);
  const [, oid, type, bytes] = match ?? [];
  return oid === undefined || type === undefined ? undefined : { oid, type, bytes: Number(bytes) };
}

export function gone(why: string): FairleadError {
  return new FairleadError('FL_SOURCE_GONE', `the commit cannot be read from the mirror (${why}); it is fetched again`, {
    kind: 'unavailable',
  });
}
