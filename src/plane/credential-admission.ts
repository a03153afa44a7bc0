import { Sensitive } from '#base';
import type { Credential } from '#api';
import type { PlaneKeys } from '#plane/keys';
import type { Admission } from '#plane/kubeapi';

type CredentialKeys = Pick<PlaneKeys, 'encrypt' | 'decrypt'>;

/** Bound to namespace, name and entry: what is copied to another object, or renamed, opens no more. */
function contextOf(object: { readonly metadata: { readonly namespace?: string; readonly name: string } }, entry: string): string {
  return `Credential/${object.metadata.namespace ?? ''}/${object.metadata.name}/${entry}`;
}

/**
 * Encrypts `spec.stringData` into `spec.encryptedData` on the way in, as a Secret folds stringData into data. A value that
 * is what was encrypted before keeps its ciphertext, so that applying the same file twice changes nothing.
 */
export function credentialAdmission(keys: CredentialKeys): Admission {
  return ({ operation, object, previous }) => {
    if (operation === 'DELETE') return {};
    // Registered for the kind Credential only.
    const credential = object as Credential;
    const before = (previous as Credential | undefined)?.spec.encryptedData ?? {};
    const { stringData, ...spec } = credential.spec;
    const violations = Object.entries(spec.encryptedData ?? {}).flatMap(([entry, text]) => {
      if (before[entry] === text) return [];
      try {
        keys.decrypt(contextOf(object, entry), text);
        return [];
      } catch {
        return [
          {
            field: `spec.encryptedData.${entry}`,
            reason: 'FieldValueInvalid' as const,
            message: 'was not encrypted by this plane for this object; write it as spec.stringData',
          },
        ];
      }
    });
    if (violations.length > 0) return { violations };
    if (stringData === undefined) return {};
    const encrypted: Record<string, string> = { ...spec.encryptedData };
    for (const [entry, plaintext] of Object.entries(stringData)) {
      const known = before[entry];
      const isSame = known !== undefined && isPlaintextOf(keys, contextOf(object, entry), known, plaintext);
      encrypted[entry] = isSame ? known : keys.encrypt(contextOf(object, entry), plaintext);
    }
    const stored: Credential = { ...credential, spec: { ...spec, encryptedData: encrypted } };
    return { object: stored };
  };
}

function isPlaintextOf(keys: CredentialKeys, context: string, ciphertext: string, plaintext: string): boolean {
  try {
    return keys.decrypt(context, ciphertext).reveal() === plaintext;
  } catch {
    return false;
  }
}

/** The secrets of a Credential in clear, for the guarded fetcher alone. Errors: FL_KEYS_DECRYPT. */
export function decryptCredential(keys: CredentialKeys, credential: Credential): Sensitive<Readonly<Record<string, string>>> {
  return new Sensitive(
    Object.fromEntries(
      Object.entries(credential.spec.encryptedData ?? {}).map(([entry, text]) => [
        entry,
        keys.decrypt(contextOf(credential, entry), text).reveal(),
      ]),
    ),
  );
}
