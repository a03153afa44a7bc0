import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exportGlobals } from './export-globals.ts';

const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
/** Type, function, two mutable i32 globals (7 and 300), export of `bump`, code that adds one to the second. */
const bumping = Buffer.from(
  [
    magic,
    [0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7f],
    [0x03, 0x02, 0x01, 0x00],
    [0x06, 0x0c, 0x02, 0x7f, 0x01, 0x41, 0x07, 0x0b, 0x7f, 0x01, 0x41, 0xac, 0x02, 0x0b],
    [0x07, 0x08, 0x01, 0x04, ...Buffer.from('bump'), 0x00, 0x00],
    [0x0a, 0x0d, 0x01, 0x0b, 0x00, 0x23, 0x01, 0x41, 0x01, 0x6a, 0x24, 0x01, 0x23, 0x01, 0x0b],
  ].flat(),
);

test('globals become exports that read and write what the code reads and writes', () => {
  assert.equal(WebAssembly.Module.exports(new WebAssembly.Module(bumping)).length, 1);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(exportGlobals(bumping)));
  const { bump, global0, global1 } = instance.exports as {
    bump: () => number;
    global0: WebAssembly.Global;
    global1: WebAssembly.Global;
  };
  assert.deepEqual([global0.value, global1.value, bump(), bump(), global1.value], [7, 300, 301, 302, 302]);
  global1.value = 300;
  assert.equal(bump(), 301);
});

test('what is no such module is refused', () => {
  assert.throws(() => exportGlobals(Buffer.from('#!/bin/sh')), { code: 'FL_RENDER_HOST' });
  assert.throws(() => exportGlobals(Buffer.from(magic)), { code: 'FL_RENDER_HOST' });
  for (const length of [9, 12, 20, 40])
    assert.throws(() => exportGlobals(bumping.subarray(0, length)), { code: 'FL_RENDER_HOST' });
});
