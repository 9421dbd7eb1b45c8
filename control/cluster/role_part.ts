// Owns what of a version is a member's own: members of its role, and slots that are in their programs. Pure.
import { deliveryOf } from '../config/filter.ts';
import { type MemberRole, roleOf, type Version } from './version.ts';

const parts: Readonly<Record<MemberRole, WeakMap<Version, Version>>> = {
  mux: new WeakMap(),
  filter: new WeakMap(),
};

/** The same version, by number and digest. Where there is one role it is the same object. */
export function partOf(version: Version, role: MemberRole): Version {
  const known = parts[role].get(version);
  if (known !== undefined) return known;
  const part = without(version, role);
  parts[role].set(version, part);
  return part;
}

function without(version: Version, role: MemberRole): Version {
  const { members, objects, placements } = version;
  const pools = [...objects.pools].filter(([, it]) => deliveryOf(it) === role);
  const own = members.filter((it) => roleOf(it) === role);
  if (pools.length === objects.pools.size && own.length === members.length) return version;
  const names = new Set(pools.map(([name]) => name));
  const ids = new Set(pools.map(([, { id }]) => id));
  const ofPool = <T extends { readonly pool: string }>(map: ReadonlyMap<string, T>) =>
    new Map([...map].filter(([, { pool }]) => names.has(pool)));
  return {
    ...version,
    members: own,
    placements: new Map([...placements].filter(([id]) => ids.has(id))),
    objects: {
      ...objects,
      pools: new Map(pools),
      services: ofPool(objects.services),
      backends: ofPool(objects.backends),
    },
  };
}
