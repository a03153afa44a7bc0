import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { SignaturePolicy } from '#api';
import { gitHarness, type GitHarness } from './testing/harness.ts';
import { gpgMissing, gpgSigner, sshSigner } from './testing/signers.ts';
import { Verifier, type Verdict } from './verify.ts';

/** What the plane thinks of what a reference leads to. */
async function judge(h: GitHarness, policy: SignaturePolicy, reference?: Record<string, string>): Promise<Verdict> {
  const mirror = h.mirror('judged');
  const { commit, tag } = await h.fetch(mirror, 'r', reference);
  return new Verifier(h.git, h.dir).verify({ gitDir: mirror.dir, commit, ...(tag === undefined ? {} : { tag }) }, policy);
}

function why(verdict: Verdict): string {
  assert.ok('why' in verdict, JSON.stringify(verdict));
  return verdict.why;
}

test('a commit signed by an allowed ssh key is accepted; unsigned, foreign, changed and expired ones are not', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  await using ada = await sshSigner(h.dir, 'ada@example.com');
  await using eve = await sshSigner(h.dir, 'eve@example.com');
  const policy: SignaturePolicy = { allowedSigners: `# people\n${ada.publicKey}\n` };
  await h.server.commit('r', { a: '1' }, 'unsigned');
  assert.equal(why(await judge(h, policy)), 'it carries no signature');
  const good = await ada.commit(h.server, 'r', 'signed');
  assert.deepEqual(await judge(h, policy), { signer: `ada@example.com (${ada.fingerprint})` });
  // The same signature over other content.
  const object = await h.server.git('r', ['cat-file', 'commit', good]);
  const forged = (
    await h.server.git('r', ['hash-object', '-t', 'commit', '-w', '--stdin'], object.replace('signed\n', 'forged\n'))
  ).trim();
  await h.server.git('r', ['update-ref', 'refs/heads/main', forged]);
  assert.match(why(await judge(h, policy)), /not one of this content/);
  await eve.commit(h.server, 'r', 'foreign');
  assert.match(
    why(await judge(h, policy)),
    new RegExp(`signed with the ssh key ${eve.fingerprint.replaceAll('+', '\\+')}, which`),
  );
  await ada.commit(h.server, 'r', 'signed again');
  const expired = ada.publicKey.replace('namespaces="git"', 'namespaces="git",valid-before="20200101"');
  assert.match(why(await judge(h, { allowedSigners: expired })), /ssh key SHA256|expired/);
  const files = ada.publicKey.replace('namespaces="git"', 'namespaces="file"');
  assert.ok('why' in (await judge(h, { allowedSigners: files })), 'a key for other things');
  for (const allowedSigners of ['', '*', 'rubbish', '\0'])
    assert.ok('why' in (await judge(h, { allowedSigners })), allowedSigners);
});

test('a signed tag is accepted under its own name only', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  await using ada = await sshSigner(h.dir, 'ada@example.com');
  const policy: SignaturePolicy = { mode: 'Tag', allowedSigners: ada.publicKey };
  const old = await h.server.commit('r', { a: '1' }, 'old');
  await ada.tag(h.server, 'r', 'v1.0.0', old);
  assert.ok('signer' in (await judge(h, policy, { tag: 'v1.0.0' })));
  assert.ok('signer' in (await judge(h, policy, { semver: '^1' })));
  assert.match(why(await judge(h, policy)), /takes an annotated, signed tag/);
  await h.server.tag('r', 'v1.0.1', old);
  assert.match(why(await judge(h, policy, { tag: 'v1.0.1' })), /takes an annotated, signed tag/);
  await h.server.tag('r', 'v1.0.2', old, 'annotated');
  assert.equal(why(await judge(h, policy, { tag: 'v1.0.2' })), 'tag v1.0.2: it carries no signature');
  // The signed tag of an old version under the name of a new one.
  await h.server.git('r', ['update-ref', 'refs/tags/v2.0.0', 'refs/tags/v1.0.0']);
  assert.equal(why(await judge(h, policy, { semver: '^2' })), 'the signed tag is named v1.0.0, not v2.0.0');
});

test('GPG: only the keys of the policy count, and only while they are good', { skip: gpgMissing() }, async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  await using ada = await gpgSigner(join(h.dir, 'ada'), 'ada');
  await using eve = await gpgSigner(join(h.dir, 'eve'), 'eve');
  await using old = await gpgSigner(join(h.dir, 'old'), 'old', 'seconds=1');
  const both = { gpgKeys: `${ada.publicKey}\n${old.publicKey}` };
  await h.server.commit('r', { a: '1' }, 'unsigned');
  assert.equal(why(await judge(h, both)), 'it carries no signature');
  await old.commit(h.server, 'r', 'short lived').then(
    async () => {
      const deadline = Date.now() + 10_000;
      for (;;) {
        const verdict = await judge(h, both);
        if ('why' in verdict) return assert.match(verdict.why, /has expired/);
        assert.ok(Date.now() < deadline, 'the key expires');
      }
    },
    // It had expired before it could sign.
    () => undefined,
  );
  const commit = await ada.commit(h.server, 'r', 'signed');
  assert.deepEqual(await judge(h, both), { signer: `ada <ada@example.com> (${ada.fingerprint})` });
  assert.match(why(await judge(h, { gpgKeys: eve.publicKey })), new RegExp(`GPG key ${ada.fingerprint.slice(-16)}, which`));
  assert.match(why(await judge(h, { allowedSigners: 'x ssh-ed25519 AAAA' })), /GPG key/);
  assert.match(why(await judge(h, { gpgKeys: 'no key' })), /could not be verified: spec\.verify\.gpgKeys cannot be read/);
  const object = await h.server.git('r', ['cat-file', 'commit', commit]);
  const forged = (
    await h.server.git('r', ['hash-object', '-t', 'commit', '-w', '--stdin'], object.replace('\nsigned\n', '\nforged\n'))
  ).trim();
  await h.server.git('r', ['update-ref', 'refs/heads/main', forged]);
  assert.match(why(await judge(h, both)), /not one of this content/);
});
