import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exec, FairleadError, newUid, shortHash } from '#base';
import type { SignaturePolicy } from '#api';
import type { Git } from './git.ts';
import { openPrivateFile } from './private-file.ts';
import { printable } from './text.ts';

/** What is to be verified: a commit, and the tag object that led to it, if one did. */
export interface Subject {
  readonly gitDir: string;
  readonly commit: string;
  readonly tag?: { readonly oid: string; /** `v1.2.0` */ readonly name: string };
  readonly signal?: AbortSignal;
}

export type Verdict = { readonly signer: string } | { readonly why: string };

/** No key, no agent, no network, no opinion about who trusts whom: a key counts because the policy names it. */
const gpgConfig = `batch
no-tty
no-autostart
no-auto-key-retrieve
no-auto-key-locate
disable-dirmngr
trust-model always
weak-digest SHA1
`;

/**
 * Verifies signatures of commits and tags by git, ssh-keygen and gpg against the keys of one policy and nothing else. What
 * cannot be verified, for whatever reason, is not verified: there is no third answer.
 */
export class Verifier {
  readonly #git: Git;
  readonly #home: string;
  /** Directories with the keys of a policy, for gpg, by policy. */
  readonly #keyrings = new Map<string, Promise<string>>();

  /** `home`: a directory for files of its own. */
  constructor(git: Git, home: string) {
    this.#git = git;
    this.#home = home;
  }

  async verify(subject: Subject, policy: SignaturePolicy): Promise<Verdict> {
    try {
      if ((policy.mode ?? 'Commit') === 'Commit') return await this.#check('commit', subject.commit, subject, policy);
      if (subject.tag === undefined)
        return { why: 'mode Tag takes an annotated, signed tag, by spec.ref.tag or spec.ref.semver' };
      const { oid, name } = subject.tag;
      const verdict = await this.#check('tag', oid, subject, policy);
      if ('why' in verdict) return { why: `tag ${name}: ${verdict.why}` };
      // Otherwise the name of a new version could be pointed at the signed tag of an old one.
      const says = await this.#nameIn(oid, subject);
      return says === name ? verdict : { why: `the signed tag is named ${printable(says, 100)}, not ${name}` };
    } catch (error) {
      if (subject.signal?.aborted === true) throw error;
      return { why: `it could not be verified: ${error instanceof Error ? error.message : String(error)}` };
    }
  }

  async #check(type: 'commit' | 'tag', oid: string, subject: Subject, policy: SignaturePolicy): Promise<Verdict> {
    const keyring = await this.#keyring(policy.gpgKeys);
    await using signers = await openPrivateFile(this.#home, `${policy.allowedSigners ?? ''}\n`);
    const run = await this.#git.run([`--git-dir=${subject.gitDir}`, `verify-${type}`, '--raw', oid], {
      timeoutMs: 20_000,
      maxOutputBytes: 1 << 20,
      config: [
        ['gpg.program', 'gpg'],
        ['gpg.ssh.program', 'ssh-keygen'],
        ['gpg.ssh.allowedSignersFile', signers.path],
        ['gpg.x509.program', '/bin/false'],
      ],
      env: { GNUPGHOME: keyring },
      ...(subject.signal === undefined ? {} : { signal: subject.signal }),
    });
    return verdictOf(run.exitCode, run.stderr);
  }

  async #nameIn(oid: string, subject: Subject): Promise<string> {
    const args = [`--git-dir=${subject.gitDir}`, 'cat-file', 'tag', oid];
    const text = (await this.#git.must(args, { timeoutMs: 20_000, maxOutputBytes: 4 << 20 })).toString('utf8');
    return /^tag (.*)$/m.exec(text.split('\n\n', 1)[0] ?? '')?.[1] ?? '';
  }

  #keyring(keys: string | undefined): Promise<string> {
    const dir = join(this.#home, `gpg-${shortHash(keys ?? '')}`);
    const known = this.#keyrings.get(dir);
    if (known !== undefined) return known;
    const made = this.#makeKeyring(dir, keys);
    this.#keyrings.set(dir, made);
    made.catch(() => this.#keyrings.delete(dir));
    return made;
  }

  async #makeKeyring(dir: string, keys: string | undefined): Promise<string> {
    const fresh = `${dir}.${newUid()}`;
    await mkdir(fresh, { mode: 0o700 });
    await chmod(fresh, 0o700);
    try {
      await writeFile(join(fresh, 'gpg.conf'), gpgConfig);
      if (keys !== undefined) await importKeys(fresh, keys);
      await rm(dir, { recursive: true, force: true });
      await rename(fresh, dir);
    } catch (error) {
      await rm(fresh, { recursive: true, force: true });
      throw error;
    }
    return dir;
  }
}

async function importKeys(dir: string, keys: string): Promise<void> {
  const result = await exec('gpg', ['--homedir', dir, '--import'], {
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' },
    timeoutMs: 20_000,
    maxOutputBytes: 1 << 20,
    input: keys,
  });
  if (result.exitCode === 0) return;
  const words = printable(result.stderr.trim().split('\n').at(-1) ?? '', 200);
  throw new FairleadError('FL_SOURCE_KEYS', `spec.verify.gpgKeys cannot be read: ${words}`, { kind: 'invalid' });
}

/** From what `git verify-commit --raw` says: status lines of gpg, or the words of ssh-keygen. Pure. */
export function verdictOf(exitCode: number, output: string): Verdict {
  const status = (word: string): string | undefined => new RegExp(`^\\[GNUPG:\\] ${word} (\\S.*)$`, 'm').exec(output)?.[1];
  const good = /^Good "git" signature for (.+) with (\S+) key (SHA256:\S+)$/m.exec(output);
  if (exitCode === 0) {
    if (good !== null) return { signer: printable(`${good[1] ?? ''} (${good[3] ?? ''})`, 200) };
    const fingerprint = status('VALIDSIG')?.split(' ')[0];
    const [, ...name] = (status('GOODSIG') ?? '').split(' ');
    if (fingerprint !== undefined) return { signer: printable(`${name.join(' ')} (${fingerprint})`, 200) };
    return { why: 'git names no signer' };
  }
  const stranger = /^Good "git" signature with (\S+) key (SHA256:\S+)$/m.exec(output);
  if (stranger !== null) {
    return { why: `it is signed with the ssh key ${stranger[2] ?? ''}, which spec.verify.allowedSigners does not list` };
  }
  const unknown = status('NO_PUBKEY') ?? status('ERRSIG')?.split(' ')[0];
  if (unknown !== undefined)
    return { why: `it is signed with the GPG key ${printable(unknown, 60)}, which spec.verify.gpgKeys does not hold` };
  const expired = status('EXPKEYSIG') ?? status('EXPSIG');
  if (expired !== undefined) return { why: `the key or signature of ${printable(expired, 100)} has expired` };
  const revoked = status('REVKEYSIG');
  if (revoked !== undefined) return { why: `the key ${printable(revoked, 100)} was revoked` };
  const bad = status('BADSIG');
  if (bad !== undefined) return { why: `its signature by ${printable(bad, 100)} is not one of this content` };
  if (/incorrect signature|Signature verification failed|Could not verify signature/i.test(output)) {
    return { why: 'its ssh signature is not one of this content' };
  }
  const words = printable(output.trim().split('\n').at(-1) ?? '', 200);
  return words === '' || /no signature found/.test(words)
    ? { why: 'it carries no signature' }
    : { why: words.replace(/^(error|fatal):\s*/, '') };
}
