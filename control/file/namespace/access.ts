// Owns which client may do what with a link, and who administers a folder, by address alone.
import { type AddressBytes, type Prefix, parsePrefix } from '../../lib/address.ts';
import type { Folder, Link } from './document.ts';

export type Access = {
  /** Both the link and the client's rule allow it. */
  readonly mayWrite: boolean;
  readonly squash: 'root' | 'all' | 'none';
  readonly anonymousUid: number;
  readonly anonymousGid: number;
};

type Rule = { readonly prefix: Prefix; readonly access: Access | undefined };

// Each object is one revision of its entry; what it says is parsed once.
const rulesOf = new WeakMap<Link, readonly Rule[]>();
const adminsOf = new WeakMap<Folder, readonly Prefix[]>();

/** By the first rule that the client belongs to; undefined: none at all. IPv4 addresses are mapped (lib/address.ts). */
export function accessOf(link: Link, client: AddressBytes): Access | undefined {
  let rules = rulesOf.get(link);
  if (rules === undefined) {
    rules = parsedRules(link);
    rulesOf.set(link, rules);
  }
  return rules.find(({ prefix }) => isIn(client, prefix))?.access;
}

/** Of this folder alone; those above it count as well. */
export function isAdmin(folder: Folder, client: AddressBytes): boolean {
  let prefixes = adminsOf.get(folder);
  if (prefixes === undefined) {
    prefixes = folder.admin.map(parsePrefix);
    adminsOf.set(folder, prefixes);
  }
  return prefixes.some((prefix) => isIn(client, prefix));
}

function parsedRules({ clients, readOnly, anonymousUid, anonymousGid }: Link): Rule[] {
  return clients.map(({ address, access, squash }) => ({
    prefix: parsePrefix(address),
    access:
      access === 'none'
        ? undefined
        : { mayWrite: access === 'rw' && !readOnly, squash, anonymousUid, anonymousGid },
  }));
}

function isIn(address: AddressBytes, { address: network, mask }: Prefix): boolean {
  return network.every((byte, index) => (address[index]! & mask[index]!) === byte);
}
