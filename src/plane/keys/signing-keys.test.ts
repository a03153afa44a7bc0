import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { signerFromPem } from '#api';
import { SecretFiles } from './secret-files.ts';
import { newSigningPem, SigningKeys } from './signing-keys.ts';

/** A process that ends before one of its writes. */
class Dying extends SecretFiles {
  left = Number.POSITIVE_INFINITY;

  override write(name: string, text: string): void {
    if (this.left <= 0) throw new Error('killed');
    this.left -= 1;
    super.write(name, text);
  }
}

test('a revocation that is interrupted anywhere leaves the former key in force, or revoked, and never beside a new one', () => {
  const root = signerFromPem(newSigningPem());
  for (let writes = 0, isDone = false; !isDone; writes += 1) {
    const dir = mkdtempSync(join(tmpdir(), 'fairlead-signing-'));
    try {
      const files = new Dying(dir);
      const open = (): SigningKeys => new SigningKeys(files, 'plane', root, files.read('signing.pem') ?? '', 'authority', 0);
      files.write('signing.pem', newSigningPem());
      const leaked = open().current.signer.keyId;
      const keys = open();
      files.left = writes;
      try {
        keys.rotate(true, 0);
        isDone = true;
      } catch {
        // As a process that is killed there.
      }
      files.left = Number.POSITIVE_INFINITY;
      const after = open().current;
      const isInForce = after.signer.keyId === leaked;
      assert.equal(after.verifyKeys.has(leaked), isInForce, `after ${writes} writes`);
      assert.ok(!isDone || !isInForce);
      // Once more, by whoever was told that it failed.
      open().rotate(true, 0);
      assert.ok(!open().current.verifyKeys.has(leaked));
      open().rotate(false, 0);
      assert.equal(open().current.keySet.keys.length, 2, 'a rotation after it revokes nothing');
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
});
