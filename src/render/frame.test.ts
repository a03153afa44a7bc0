import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeFrame, FrameReader } from './frame.ts';

const limits = { headerBytes: 1_000, bodyBytes: 1_000 };
const message = fc.record({ header: fc.jsonValue(), body: fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 4 }) });

test('messages come out whole however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 5 }), fc.array(fc.nat(30), { minLength: 1 }), (messages, cuts) => {
      const roomy = { headerBytes: 1_000_000, bodyBytes: 1_000 };
      const stream = Buffer.concat(messages.flatMap(({ header, body }) => encodeFrame(header, body)));
      const reader = new FrameReader(roomy);
      const got = [];
      let at = 0;
      for (let i = 0; at < stream.length; i++) {
        const next = Math.min(stream.length, at + (cuts[i % cuts.length] ?? 0) + 1);
        got.push(...reader.push(Buffer.from(stream.subarray(at, next))));
        at = next;
      }
      assert.equal(reader.pending, 0);
      assert.deepEqual(
        got.map(({ header, body }) => [JSON.stringify(header), body.toString('hex')]),
        messages.map(({ header, body }) => [JSON.stringify(header), Buffer.concat(body).toString('hex')]),
      );
    }),
  );
});

test('a message that says it is too long is refused before it arrives', () => {
  for (const lengths of [
    [1_001, 0],
    [2, 1_001],
    [0xffff_ffff, 0xffff_ffff],
  ]) {
    const head = Buffer.alloc(8);
    head.writeUInt32LE(lengths[0] ?? 0, 0);
    head.writeUInt32LE(lengths[1] ?? 0, 4);
    assert.throws(() => new FrameReader(limits).push(head), { code: 'FL_RENDER_FRAME' });
  }
});

test('a header that is not JSON is refused', () => {
  const bytes = Buffer.from('\u0003\0\0\0\0\0\0\0{x}', 'latin1');
  assert.throws(() => new FrameReader(limits).push(bytes), { code: 'FL_RENDER_FRAME' });
});
