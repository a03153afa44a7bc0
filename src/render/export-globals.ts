import { FairleadError } from '#base';

const GLOBAL_SECTION = 6;
const EXPORT_SECTION = 7;
const KIND_GLOBAL = 3;
const header = Buffer.from([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);

/**
 * The module with every global of its own exported as `global0`, `global1`, …: with its memory they are all that an instance
 * remembers, and the host can put them back. The rest of the module stays as it is, byte for byte.
 * Source: https://webassembly.github.io/spec/core/binary/modules.html
 *
 * Errors: `FL_RENDER_HOST` when it is no module with globals and exports. One that imports globals is refused by the host.
 */
export function exportGlobals(module: Uint8Array): Uint8Array<ArrayBuffer> {
  if (!header.equals(module.subarray(0, header.length))) {
    throw new FairleadError('FL_RENDER_HOST', 'these bytes are no WebAssembly module', { kind: 'internal' });
  }
  const parts: Uint8Array[] = [header];
  let globals = 0;
  let isExported = false;
  for (let at = header.length; at < module.length;) {
    const id = module[at];
    const size = readUnsigned(module, at + 1);
    const end = size.next + size.value;
    if (end > module.length) throw cutOff(at);
    if (id === GLOBAL_SECTION) globals = readUnsigned(module, size.next).value;
    if (id === EXPORT_SECTION) {
      parts.push(exportSection(module.subarray(size.next, end), globals));
      isExported = true;
    } else parts.push(module.subarray(at, end));
    at = end;
  }
  if (!isExported || globals === 0) {
    throw new FairleadError('FL_RENDER_HOST', 'the module has no globals or no exports: it is not one that Go made', {
      kind: 'internal',
    });
  }
  return Buffer.concat(parts);
}

function exportSection(content: Uint8Array, globals: number): Uint8Array {
  const known = readUnsigned(content, 0);
  const added = Array.from({ length: globals }, (_, index) => {
    const name = Buffer.from(`global${index}`);
    return Buffer.concat([unsigned(name.length), name, Buffer.of(KIND_GLOBAL), unsigned(index)]);
  });
  const body = Buffer.concat([unsigned(known.value + globals), content.subarray(known.next), ...added]);
  return Buffer.concat([Buffer.of(EXPORT_SECTION), unsigned(body.length), body]);
}

/** LEB128. */
function readUnsigned(bytes: Uint8Array, from: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let at = from, factor = 1; at < from + 5; at++, factor *= 128) {
    const byte = bytes[at];
    if (byte === undefined) break;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, next: at + 1 };
  }
  throw cutOff(from);
}

function cutOff(at: number): FairleadError {
  return new FairleadError('FL_RENDER_HOST', `the module is cut off or malformed at byte ${at}`, { kind: 'internal' });
}

function unsigned(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ;) {
    const low = left % 128;
    left = Math.floor(left / 128);
    bytes.push(left > 0 ? low | 0x80 : low);
    if (left === 0) return Buffer.from(bytes);
  }
}
