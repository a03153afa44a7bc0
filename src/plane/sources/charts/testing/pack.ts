import { gzipSync } from 'node:zlib';

export interface PackedEntry {
  readonly name: string;
  readonly content?: string | Uint8Array;
  /** tar's type flag; default a regular file. */
  readonly type?: string;
  readonly link?: string;
  /** What the header says, when that is not the truth. */
  readonly size?: number;
  readonly mtime?: number;
}

/** A tar archive (ustar), compressed. */
export function pack(entries: readonly PackedEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const { name, content = '', type = '0', link = '', size, mtime = 1_767_225_600 } of entries) {
    const body = Buffer.from(content);
    const header = Buffer.alloc(512);
    header.write(name, 0, 100);
    header.write('0000644\0', 100);
    header.write('0000000\0', 108);
    header.write('0000000\0', 116);
    header.write(`${(size ?? body.length).toString(8).padStart(11, '0')}\0`, 124);
    header.write(`${mtime.toString(8).padStart(11, '0')}\0`, 136);
    header.write('        ', 148);
    header.write(type, 156);
    header.write(link, 157, 100);
    header.write('ustar\x0000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    blocks.push(header, body, Buffer.alloc((512 - (body.length % 512)) % 512));
  }
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1_024)]));
}

/** A chart as `helm package` makes it. */
export function packChart(name: string, version: string, files: Readonly<Record<string, string>> = {}): Buffer {
  const all = {
    'Chart.yaml': `apiVersion: v2\nname: ${name}\nversion: ${version}\n`,
    'values.yaml': 'replicas: 1\n',
    'templates/config.yaml': `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {version: "${version}", replicas: "{{ .Values.replicas }}"}\n`,
    ...files,
  };
  return pack(Object.entries(all).map(([path, content]) => ({ name: `${name}/${path}`, content })));
}
