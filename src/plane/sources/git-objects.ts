/** One entry of a tree object. */
export interface TreeEntry {
  /** `40000` a directory, `100644`, `100755` files, `120000` a symbolic link, `160000` a submodule. */
  readonly mode: string;
  readonly name: string;
  /** Whether the name was UTF-8; if not, `name` stands for it in messages. */
  readonly isText: boolean;
  readonly oid: string;
}

/** The entries of a tree object: `<mode> <name>\0<20 bytes>` each. Pure. */
export function parseTree(content: Buffer): readonly TreeEntry[] {
  const entries: TreeEntry[] = [];
  let at = 0;
  while (at < content.length) {
    const space = content.indexOf(0x20, at);
    const end = content.indexOf(0, space);
    if (space < 0 || end < 0 || end + 21 > content.length) return entries;
    const bytes = content.subarray(space + 1, end);
    const name = bytes.toString('utf8');
    entries.push({
      mode: content.toString('latin1', at, space),
      name,
      isText: Buffer.from(name).equals(bytes),
      oid: content.toString('hex', end + 1, end + 21),
    });
    at = end + 21;
  }
  return entries;
}

export interface CommitFacts {
  readonly tree: string;
  readonly author: string;
  readonly committedAtMs: number;
  readonly subject: string;
}

/** Of a commit object, what people want to see of it. Pure. */
export function parseCommit(content: Buffer): CommitFacts {
  const text = content.toString('utf8');
  const end = text.indexOf('\n\n');
  const head = end < 0 ? text : text.slice(0, end);
  const line = (name: string): string => new RegExp(`^${name} (.*)$`, 'm').exec(head)?.[1] ?? '';
  const seconds = / (\d{1,15}) [+-]\d{1,4}$/.exec(line('committer'))?.[1];
  const at = Number(seconds ?? 0) * 1_000;
  return {
    tree: line('tree'),
    author: line('author').replace(/ ?<[^>]*>.*$/, ''),
    // A committer date may be anything; what RFC 3339 cannot write counts as the epoch.
    committedAtMs: at < 253_402_300_800_000 ? at : 0,
    subject:
      end < 0
        ? ''
        : (text
            .slice(end + 2)
            .trimStart()
            .split('\n', 1)[0] ?? ''),
  };
}
