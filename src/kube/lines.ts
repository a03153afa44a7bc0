import { FairleadError } from '#base';

/** Cuts a stream of chunks into lines, holding at most one unfinished line of at most `maxBytes`. Empty lines are skipped. */
export class LineFramer {
  readonly #maxBytes: number;
  readonly #onLine: (line: Buffer) => void;
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  constructor(maxBytes: number, onLine: (line: Buffer) => void) {
    this.#maxBytes = maxBytes;
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      if (end < 0) break;
      this.#keep(chunk.subarray(start, end));
      const line = this.#pending.length === 1 ? this.#pending[0] : Buffer.concat(this.#pending);
      this.#pending = [];
      this.#pendingBytes = 0;
      start = end + 1;
      if (line !== undefined && line.length > 0) this.#onLine(line);
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  #keep(part: Buffer): void {
    this.#pendingBytes += part.length;
    if (this.#pendingBytes > this.#maxBytes) {
      this.#pending = [];
      throw new FairleadError('FL_KUBE_LINE_TOO_LARGE', `the API server sent a line of more than ${this.#maxBytes} bytes`, {
        kind: 'too-large',
      });
    }
    this.#pending.push(part);
  }
}
