// Owns the text that BIRD includes: two static protocols with the service addresses that this mux announces. They are
// there without a route as well, so that an operator's filters may name them at any time. Pure.
import { type IpVersion, parseAddress, versionOf } from '../../lib/address.ts';

export type Level = 'normal' | 'lastResort' | 'withdrawn';

export type Announcement = {
  readonly level: Level;
  /** Sorted; none where it is withdrawn. */
  readonly addresses: readonly string[];
};

/** Names of the protocols, and the pattern that means both. */
export const PROTOCOLS = { 4: 'holdfast4', 6: 'holdfast6' } as const;
export const PROTOCOLS_PATTERN = '"holdfast?"';

/** RFC 8326, section 5: whoever hears it prefers any other route. */
const GRACEFUL_SHUTDOWN = '(65535,0)';

/** `communities`: ASN:VALUE. */
export function composeInclude(announcement: Announcement, communities: readonly string[]): string {
  const { level } = announcement;
  const addresses = level === 'withdrawn' ? [] : announcement.addresses;
  const attributes = [
    ...communities.map((it) => `bgp_community.add((${it.replace(':', ',')}));`),
    // The preference is for peers of the same AS, which may not look at the community.
    ...(level === 'lastResort' ? [`bgp_community.add(${GRACEFUL_SHUTDOWN});`, 'bgp_local_pref = 0;'] : []),
  ].join(' ');
  const route = (address: string, bits: number) =>
    `  route ${address}/${bits} blackhole${attributes === '' ? '' : ` { ${attributes} }`};\n`;
  const protocol = (version: IpVersion, bits: number) =>
    `protocol static ${PROTOCOLS[version]} {\n  ipv${version};\n${addressesOf(addresses, version)
      .map((address) => route(address, bits))
      .join('')}}\n`;
  return `# Written by holdfastd, which replaces it. Service addresses: ${level}.\n${protocol(4, 32)}${protocol(6, 128)}`;
}

/** By protocol, how many routes it is to have. */
export function routeCounts({ level, addresses }: Announcement): Record<string, number> {
  const count = (version: IpVersion) => (level === 'withdrawn' ? 0 : addressesOf(addresses, version).length);
  return { [PROTOCOLS[4]]: count(4), [PROTOCOLS[6]]: count(6) };
}

const HEAD =
  /^# Written by holdfastd, which replaces it\. Service addresses: (normal|lastResort|withdrawn)\.\n/;
const ROUTE = /^ {2}route ([0-9a-f.:]+)\/(?:32|128) blackhole/gm;

/** What such a text announces; undefined where it is another's. */
export function parseInclude(text: string): Announcement | undefined {
  const level = HEAD.exec(text)?.[1] as Announcement['level'] | undefined;
  if (level === undefined) return undefined;
  return { level, addresses: [...text.matchAll(ROUTE)].map(([, address]) => address!).sort() };
}

function addressesOf(addresses: readonly string[], version: IpVersion): string[] {
  return addresses.filter((address) => versionOf(parseAddress(address)) === version);
}
