import { FairleadError } from '#base';

/**
 * Messages between the plane and a renderer child, both ways: length of the header and of the body (4 bytes each,
 * little-endian), header (JSON), body. The reader holds at most one message and refuses a longer one before it has read it.
 */
export interface Frame {
  readonly header: unknown;
  readonly body: Buffer;
}

export interface FrameLimits {
  readonly headerBytes: number;
  readonly bodyBytes: number;
}

/** The pieces to write, in order; the body's own buffers are not copied. */
export function encodeFrame(header: unknown, body: readonly Uint8Array[]): Uint8Array[] {
  const head = Buffer.from(JSON.stringify(header), 'utf8');
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32LE(head.length, 0);
  lengths.writeUInt32LE(
    body.reduce((sum, part) => sum + part.byteLength, 0),
    4,
  );
  return [Buffer.concat([lengths, head]), ...body.filter((part) => part.byteLength > 0)];
}

export class FrameReader {
  readonly #limits: FrameLimits;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted = 8;
  #lengths: { readonly header: number; readonly body: number } | undefined;

  constructor(limits: FrameLimits) {
    this.#limits = limits;
  }

  /** Bytes held that are not a whole message yet. */
  get pending(): number {
    return this.#bytes;
  }

  /** Takes a chunk and gives the messages it completes. Throws `FL_RENDER_FRAME` on one that is too long or no JSON. */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    const frames: Frame[] = [];
    while (this.#bytes >= this.#wanted) {
      if (this.#lengths === undefined) {
        const lengths = this.#take(8);
        this.#lengths = { header: lengths.readUInt32LE(0), body: lengths.readUInt32LE(4) };
        this.#refuseLong(this.#lengths);
        this.#wanted = this.#lengths.header + this.#lengths.body;
        continue;
      }
      const { header, body } = this.#lengths;
      const head = this.#take(header);
      frames.push({ header: parse(head), body: this.#take(body) });
      this.#lengths = undefined;
      this.#wanted = 8;
    }
    return frames;
  }

  #refuseLong(lengths: { readonly header: number; readonly body: number }): void {
    if (lengths.header <= this.#limits.headerBytes && lengths.body <= this.#limits.bodyBytes) return;
    throw new FairleadError(
      'FL_RENDER_FRAME',
      `a message of ${lengths.header} + ${lengths.body} bytes is longer than ${this.#limits.headerBytes} + ${this.#limits.bodyBytes}`,
      { kind: 'too-large' },
    );
  }

  /** The first `count` bytes, as one buffer: a view where they lie in one chunk, else a copy. */
  #take(count: number): Buffer {
    if (count === 0) return Buffer.alloc(0);
    this.#bytes -= count;
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= count) {
      if (first.length === count) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const all = Buffer.concat(this.#chunks);
    this.#chunks = all.length > count ? [all.subarray(count)] : [];
    return all.subarray(0, count);
  }
}

function parse(head: Buffer): unknown {
  try {
    return JSON.parse(head.toString('utf8'));
  } catch (cause) {
    throw new FairleadError('FL_RENDER_FRAME', 'a message has a header that is not JSON', { kind: 'internal', cause });
  }
}
