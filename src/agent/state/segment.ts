import { gunzipSync, gzipSync } from 'node:zlib';
import { FairleadError } from '#base';

/** What one segment says: values that are set, in order, and keys that are gone. Both may be empty. */
export interface SegmentContent {
  readonly puts: readonly (readonly [key: string, value: Uint8Array])[];
  readonly deletes: readonly string[];
}

interface Header {
  readonly puts: readonly (readonly [key: string, bytes: number])[];
  readonly deletes: readonly string[];
}

// A segment is at most this large when unpacked; more is damage or an attack on memory.
const MAX_UNPACKED_BYTES = 256 * 1024 * 1024;

/** One JSON line that names keys and lengths, then the values back to back; gzip over all of it. */
export function encodeSegment(content: SegmentContent): Buffer {
  const header: Header = { puts: content.puts.map(([key, value]) => [key, value.length]), deletes: content.deletes };
  return gzipSync(Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...content.puts.map(([, value]) => value)]), {
    level: 3,
  });
}

/** Errors: `FL_STATE_CORRUPT`. */
export function decodeSegment(bytes: Uint8Array, title: string): SegmentContent {
  try {
    const plain = gunzipSync(bytes, { maxOutputLength: MAX_UNPACKED_BYTES });
    const end = plain.indexOf(0x0a);
    // Written by encodeSegment; its digest was checked.
    const header = JSON.parse(plain.toString('utf8', 0, end)) as Header;
    let at = end + 1;
    const puts = header.puts.map(([key, length]): [string, Buffer] => {
      // A copy: a slice would keep the whole segment in memory for one small value.
      const value = Buffer.from(plain.subarray(at, at + length));
      at += length;
      return [key, value];
    });
    if (at !== plain.length) throw new Error('the lengths do not add up');
    return { puts, deletes: header.deletes };
  } catch (cause) {
    throw new FairleadError('FL_STATE_CORRUPT', `${title} cannot be read; delete the state and join again`, {
      kind: 'internal',
      cause,
    });
  }
}
