// Owns finding out what an operator would otherwise have to write down: which interface a node uses, and the address
// that tunnel packets come from.
import type { Rtnetlink } from '@holdfast/linux';
import type { TunnelSource } from '../dataplane/mux.ts';
import { parsePrefix } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';

/** RT_SCOPE_UNIVERSE of linux/rtnetlink.h. */
const SCOPE_GLOBAL = 0;

/** The interface of the default route, IPv4 before IPv6, the lowest metric first. */
export function defaultInterface(rtnetlink: Rtnetlink): string {
  for (const family of [4, 6] as const) {
    const defaults = rtnetlink
      .routes(family)
      .filter((route) => route.dst.prefixLength === 0 && route.oif !== undefined)
      .sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0));
    const link = defaults[0]?.oif === undefined ? undefined : rtnetlink.link(defaults[0].oif);
    if (link !== undefined) return link.name;
  }
  throw new Failure(
    'configuration',
    'no interface is configured, and there is no default route to take one from',
    {
      remedy: 'name it in the configuration: interface: eth0',
    },
  );
}

/**
 * Tunnel sources of a mux: as configured, else the first global address of its first interface. Undefined where the
 * interface has none of that version: then backends cannot be reached over it.
 */
export function tunnelSources(
  rtnetlink: Rtnetlink,
  interfaceName: string,
  configured: { source4?: string | undefined; source6?: string | undefined },
): { tunnelSource4?: TunnelSource; tunnelSource6?: TunnelSource } {
  const source4 = configured.source4 ?? ownAddress(rtnetlink, interfaceName, 4);
  const source6 = configured.source6 ?? ownAddress(rtnetlink, interfaceName, 6);
  return {
    ...(source4 !== undefined && { tunnelSource4: sourceOf(source4, 'tunnel.source4') }),
    ...(source6 !== undefined && { tunnelSource6: sourceOf(source6, 'tunnel.source6') }),
  };
}

export function formatTunnelSource({ address, prefixLength }: TunnelSource): string {
  return `${address}/${prefixLength}`;
}

/** The first global address of an interface, IPv4 before IPv6: where others reach this node. */
export function firstAddress(rtnetlink: Rtnetlink, interfaceName: string): string | undefined {
  const found = ownAddress(rtnetlink, interfaceName, 4) ?? ownAddress(rtnetlink, interfaceName, 6);
  return found?.split('/')[0];
}

/** The first global addresses of an interface: where answers to what this node asks come. */
export function ownAddresses(rtnetlink: Rtnetlink, interfaceName: string): { 4?: string; 6?: string } {
  const [own4, own6] = ([4, 6] as const).map((it) => ownAddress(rtnetlink, interfaceName, it)?.split('/')[0]);
  return { ...(own4 !== undefined && { 4: own4 }), ...(own6 !== undefined && { 6: own6 }) };
}

function ownAddress(rtnetlink: Rtnetlink, interfaceName: string, family: 4 | 6): string | undefined {
  const link = rtnetlink.link(interfaceName);
  if (link === undefined) return undefined;
  const found = rtnetlink
    .addresses({ ifindex: link.ifindex, family })
    .find((it) => it.scope === SCOPE_GLOBAL);
  return found === undefined ? undefined : `${found.address}/${family === 4 ? 32 : 128}`;
}

function sourceOf(text: string, where: string): TunnelSource {
  try {
    parsePrefix(text);
  } catch (cause) {
    throw new Failure('configuration', `${where} cannot be used`, {
      cause,
      remedy: 'write an address without host bits and a prefix length, such as 198.51.100.0/24',
    });
  }
  const [address = '', prefixLength = ''] = text.split('/');
  return { address, prefixLength: Number(prefixLength) };
}
