/** Every kustomization of testdata/kustomizations builds to the bytes that `kustomize build` of the pinned version prints. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { exec } from '#base';
import { casesOf, filesIn, rawRender, readIfThere, reference, testdata } from './parity.ts';

const kustomize = await reference('kustomize');
const cases = await casesOf('kustomizations');

test('there are at least thirty', () => assert.ok(cases.length >= 30));

for (const name of cases) {
  test(`kustomization ${name}`, async () => {
    const directory = join(testdata, 'kustomizations', name);
    const path = ((await readIfThere(join(directory, 'path'))) ?? '.').trim();
    const real = await exec(kustomize, ['build', path], {
      cwd: directory,
      env: {},
      timeoutMs: 60_000,
      maxOutputBytes: 1_000_000,
    });
    assert.equal(real.exitCode, 0, real.stderr);
    const ours = await rawRender(await filesIn(directory), { path });
    assert.equal(ours.raw ?? JSON.stringify(ours.errors), real.stdout.toString('utf8'));
  });
}
