import { sha256, shortHash } from '#base';
import type { Recipient } from '#render';
import type { BundleRow, TreeContext } from './tree-context.ts';
import type { Member } from './wanted-groups.ts';

/** Which member has which bundle, of one group while it is put together. */
export class MemberBundles {
  readonly #objects = new Map<string, number>();
  /** Of sealed ones: which bundle a member has, and by which keys. */
  readonly #sealed = new Map<string, { readonly digest: string; readonly seal: string }>();
  /** The one bundle that everybody shares because nothing in it is sealed. */
  #shared: string | undefined;

  constructor(rows: readonly BundleRow[]) {
    for (const { digest, objects, members } of rows) {
      this.#objects.set(digest, objects);
      for (const [name, seal] of Object.entries(members)) {
        if (seal === '') this.#shared = digest;
        else this.#sealed.set(name, { digest, seal });
      }
    }
  }

  covers(member: Member, seal: string): boolean {
    return this.#shared !== undefined || (seal !== '' && this.#sealed.get(nameOf(member))?.seal === seal);
  }

  share(digest: string, objects: number): void {
    this.#objects.set(digest, objects);
    this.#shared = digest;
  }

  give(name: string, seal: string, digest: string, objects: number): void {
    this.#objects.set(digest, objects);
    this.#sealed.set(name, { digest, seal });
  }

  rows(names: readonly string[]): BundleRow[] {
    const byDigest = new Map<string, [string, string][]>();
    for (const name of names.toSorted()) {
      const own = this.#shared === undefined ? this.#sealed.get(name) : { digest: this.#shared, seal: '' };
      if (own === undefined) continue;
      const members = byDigest.get(own.digest);
      if (members === undefined) byDigest.set(own.digest, [[name, own.seal]]);
      else members.push([name, own.seal]);
    }
    return [...byDigest]
      .map(([digest, members]) => ({ digest, objects: this.#objects.get(digest) ?? 0, members: Object.fromEntries(members) }))
      .sort((a, b) => (a.digest < b.digest ? -1 : 1));
  }
}

/** Name of a member in rows: '' is the plane itself, which no cluster can be called. */
export function nameOf(member: Member): string {
  return member.cluster?.name ?? '';
}

/** To whom what is secret in a render for a member is sealed: nobody for the plane itself. */
export function recipientOf({ cluster }: Member, { derive }: TreeContext): Recipient[] {
  if (cluster?.sealingKey === undefined) return [];
  // The sealing key is part of it: what was sealed to a former key of the cluster is equal to nothing.
  const equalityKey = derive('equality', cluster.name, cluster.sealingKey).toString('hex');
  return [{ cluster: cluster.name, ageRecipient: cluster.sealingKey, equalityKey }];
}

/** Changes with the keys that a member's bundle was sealed by; '' where nothing is sealed to it. */
export function sealId(member: Member, context: TreeContext): string {
  const [recipient] = recipientOf(member, context);
  return recipient === undefined ? '' : shortHash('seal', recipient.ageRecipient, sha256(recipient.equalityKey));
}
