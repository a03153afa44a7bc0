import { FairleadError, Sensitive } from '#base';

export interface ParsedJoinToken {
  readonly id: string;
  readonly secret: Sensitive<string>;
  /** 128 bits as hex: what the plane's root key must hash to. */
  readonly rootHash: string;
}

/** Reads `fl1.<id>.<secret>.<hash of the root key>`. Errors: `FL_JOIN_TOKEN`; the text itself is never repeated. */
export function parseJoinToken(text: string): ParsedJoinToken {
  const [version, id, secret, rootHash, ...rest] = text.trim().split('.');
  const isWhole = rest.length === 0 && id !== undefined && id !== '' && secret !== undefined && secret.length >= 16;
  if (version !== 'fl1' || !isWhole || rootHash === undefined || !/^[0-9a-f]{32}$/.test(rootHash)) {
    throw new FairleadError(
      'FL_JOIN_TOKEN',
      'the join token is not of the form fl1.<id>.<secret>.<hash>; copy the whole of what fairlead enroll printed',
      { kind: 'invalid' },
    );
  }
  return { id, secret: new Sensitive(secret), rootHash };
}
