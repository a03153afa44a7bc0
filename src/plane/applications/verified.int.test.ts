import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Application, GitRepository, type SignaturePolicy } from '#api';
import { sshSigner } from '../sources/testing/signers.ts';
import { configMap, World } from './testing/world.ts';

const source = { sourceRef: { kind: 'GitRepository' as const, name: 'fleet' } };

test('what is not signed makes no Release, whenever the signature was asked for; what is delivered stays', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('dev', { env: 'dev' });
  await using ada = await sshSigner(join(w.dir, 'keys'), 'ada@example.com');
  await using eve = await sshSigner(join(w.dir, 'keys'), 'eve@example.com');
  const policy: SignaturePolicy = { allowedSigners: ada.publicKey };
  const repository = (verify?: SignaturePolicy): Promise<void> =>
    w.put(GitRepository, 'fleet', { url: w.git.repoUrl('fleet'), interval: '1h', ...(verify === undefined ? {} : { verify }) });
  const app = (name: string): Promise<void> =>
    w.put(Application, name, { source: { ...source, path: `apps/${name}` }, targets: [{ clusterSelector: {} }] });

  await w.git.commit('fleet', { 'apps/web/a.yaml': configMap('web'), 'apps/late/a.yaml': configMap('late') }, 'unsigned');
  await repository();
  await app('web');
  const first = await w.untilReleased('web', 1);
  await repository(policy);
  const words = await w.untilReason('web', 'FL_SOURCE_UNVERIFIED');
  assert.match(
    words,
    new RegExp(`^commit ${first.spec.source.commit.slice(0, 12)} \\(branch main of .*fleet\\.git\\) is not accepted: it carries`),
  );
  assert.match(words, /sign it with a key that spec\.verify names/);
  // An Application that comes now, and an edit of the one that is there, find nothing that they may use.
  await app('late');
  await w.untilReason('late', 'FL_SOURCE_UNVERIFIED');
  await w.put(Application, 'web', { source: { ...source, path: 'apps/late' }, targets: [{ clusterSelector: {} }] });
  await w.idle();
  assert.equal((await w.releases('late')).length, 0);
  assert.equal((await w.releases('web')).length, 1);
  assert.equal((await w.deliveries('web'))[0]?.spec.wanted?.number, 1, 'the cluster keeps what it has');

  const signed = await ada.commit(w.git, 'fleet', 'signed');
  w.look();
  await w.untilReleased('late', 1);
  const accepted = (await w.get(GitRepository, { namespace: 'default', name: 'fleet' })).status?.snapshot;
  assert.equal(accepted?.commit, signed);
  assert.equal(accepted?.signature?.signer, `ada@example.com (${ada.fingerprint})`);

  // A stranger's commit on top: the last accepted one stays in use, also after a restart.
  await w.git.commit('fleet', { 'apps/late/a.yaml': configMap('late', { a: 'evil' }) }, 'content');
  await eve.commit(w.git, 'fleet', 'foreign');
  w.look();
  assert.ok((await w.untilReason('late', 'FL_SOURCE_UNVERIFIED')).includes(`the ssh key ${eve.fingerprint}, which`));
  await w.restart();
  await app('web');
  await w.idle();
  assert.equal((await w.releases('late')).length, 1);
  for (const release of [...(await w.releases('late')), ...(await w.releases('web')).slice(1)])
    assert.equal(release.spec.source.commit, signed);

  // The key of the last accepted commit is withdrawn: nothing is left that may be used.
  await repository({
    allowedSigners: eve.publicKey.replace(/ssh-ed25519 .*/, ada.publicKey.replace(/.* ssh/, 'ssh')).replace('ada', 'x'),
  });
  await w.untilReason('late', 'FL_SOURCE_UNVERIFIED');
  await repository({ gpgKeys: 'no key at all' });
  assert.match(await w.untilReason('late', 'FL_SOURCE_UNVERIFIED'), /spec\.verify\.gpgKeys cannot be read|ssh key/);
  await w.idle();
  assert.equal((await w.get(GitRepository, { namespace: 'default', name: 'fleet' })).status?.snapshot, undefined);
  await repository({ allowedSigners: `${ada.publicKey}\n${eve.publicKey}` });
  await w.untilReleased('late', 2);
});
