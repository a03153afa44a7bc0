/**
 * `node src/plane/sources/main.ts look URL [--branch B | --tag T | --semver R | --commit C] [--path P]`: looks at a
 * repository as the plane does, without a plane, and prints the commit and the files under the path. Keeps nothing.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { FairleadError, messageOf } from '#base';
import { isReasonCode, say } from '#api';
import { Git } from './git.ts';
import { defaultSourceLimits, Mirror } from './mirror.ts';
import { SnapshotReader } from './snapshot-reader.ts';
import { checkUrl } from './source-url.ts';

const USAGE = 'usage: main.ts look URL [--branch B | --tag T | --semver R | --commit C] [--path P]\n';

async function main(): Promise<number> {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { branch: text, tag: text, semver: text, commit: text, path: text },
  });
  const [verb, address] = positionals;
  const { path = '.', ...reference } = values;
  if (verb !== 'look' || address === undefined || Object.keys(reference).length > 1) {
    process.stderr.write(USAGE);
    return 2;
  }
  const checked = checkUrl(address, { allowFileUrls: true, allowHttp: true });
  if (!checked.ok) {
    process.stderr.write(`${checked.shown}: ${checked.why}\n`);
    return 1;
  }
  let mirror: Mirror | undefined;
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-look-'));
  try {
    const git = new Git({ home: dir, protocols: 'https:http:file' });
    mirror = new Mirror(join(dir, 'mirror.git'), git, defaultSourceLimits);
    const found = await mirror.fetch({ url: checked.url, address: checked.address, reference, timeoutMs: 60_000 });
    const snapshot = new SnapshotReader(mirror.objects, found.commit, address, defaultSourceLimits);
    process.stdout.write(
      `${found.ref} is at ${found.commit} (${new Date(found.committedAtMs).toISOString()}, ${found.author}: ${found.subject})\n`,
    );
    process.stdout.write(`${path} has tree ${await snapshot.treeHash(path)}\n`);
    for (const file of await snapshot.list(path)) process.stdout.write(`${String(file.bytes).padStart(9)}  ${file.path}\n`);
    return 0;
  } catch (error) {
    const isReason = error instanceof FairleadError && isReasonCode(error.code);
    process.stderr.write(
      `${isReason ? say({ code: error.code, args: { retry: 'yours', credential: '(none is given)', ...error.details } }) : messageOf(error)}\n`,
    );
    return 1;
  } finally {
    mirror?.objects.close();
    await rm(dir, { recursive: true, force: true });
  }
}

process.exitCode = await main();
