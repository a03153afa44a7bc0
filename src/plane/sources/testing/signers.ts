import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { exec } from '#base';
import { fingerprintOf, makeSshKey, type GitServer } from '#testbed';

/** False where gpg can run, else the reason that tests with it are skipped. */
export function gpgMissing(): string | false {
  return spawnSync('gpg', ['--version']).status === 0 ? false : 'no gpg on this machine (Debian: apt-get install gpg)';
}

/** A person with a key, who signs commits and tags in repositories of the testbed. */
export interface Signer extends AsyncDisposable {
  /** A line for spec.verify.allowedSigners, or a block for spec.verify.gpgKeys. */
  readonly publicKey: string;
  readonly fingerprint: string;
  /** A signed commit with the tree of `commit` on its branch `main`, and its parent. */
  commit(server: GitServer, repo: string, message: string): Promise<string>;
  /** A signed tag. */
  tag(server: GitServer, repo: string, name: string, commit: string): Promise<void>;
}

function signerWith(publicKey: string, fingerprint: string, config: readonly string[], end: () => Promise<void>): Signer {
  const options = config.flatMap((one) => ['-c', one]);
  return {
    publicKey,
    fingerprint,
    async commit(server, repo, message) {
      const tree = (await server.git(repo, ['rev-parse', 'refs/heads/main^{tree}'])).trim();
      const commit = await server.git(repo, [...options, 'commit-tree', '-S', '-p', 'refs/heads/main', '-m', message, tree]);
      await server.git(repo, ['update-ref', 'refs/heads/main', commit.trim()]);
      return commit.trim();
    },
    async tag(server, repo, name, commit) {
      await server.git(repo, [...options, 'tag', '-f', '-s', '-m', name, name, commit]);
    },
    [Symbol.asyncDispose]: end,
  };
}

export async function sshSigner(dir: string, principal: string): Promise<Signer> {
  await mkdir(dir, { recursive: true });
  const path = join(dir, principal);
  await makeSshKey(path);
  const key = (await readFile(`${path}.pub`, 'utf8')).split(' ').slice(0, 2).join(' ').trim();
  return signerWith(
    `${principal} namespaces="git" ${key}`,
    await fingerprintOf(`${path}.pub`),
    ['gpg.format=ssh', `user.signingkey=${path}`],
    () => Promise.resolve(),
  );
}

/** `lifetime`: as gpg takes it; default for ever. */
export async function gpgSigner(dir: string, name: string, lifetime = 'never'): Promise<Signer> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', GNUPGHOME: dir };
  const gpg = async (args: readonly string[]): Promise<string> => {
    const result = await exec('gpg', ['--batch', ...args], { env, timeoutMs: 60_000, maxOutputBytes: 1 << 20 });
    if (result.exitCode !== 0) throw new Error(`gpg ${args.join(' ')}: ${result.stderr}`);
    return result.stdout.toString('utf8');
  };
  const address = `${name} <${name}@example.com>`;
  await gpg(['--passphrase', '', '--quick-gen-key', address, 'ed25519', 'sign', lifetime]);
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(await gpg(['--with-colons', '--list-keys', address]))?.[1] ?? '';
  const program = join(dir, 'sign.sh');
  await writeFile(program, `#!/bin/sh\nGNUPGHOME='${dir}' exec gpg --batch "$@"\n`);
  await chmod(program, 0o700);
  return signerWith(
    await gpg(['--armor', '--export', address]),
    fingerprint,
    ['gpg.format=openpgp', `gpg.program=${program}`, `user.signingkey=${fingerprint}`],
    async () => {
      await exec('gpgconf', ['--kill', 'gpg-agent'], { env, timeoutMs: 20_000, maxOutputBytes: 65_536 });
    },
  );
}
