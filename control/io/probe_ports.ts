// Owns whether the ports that health checks ask from are free of the host's own connections, which a rule leads away from
// their interfaces, and the kernel's settings of that.
import { readFileSync } from 'node:fs';
import type { PortRange } from '../lib/address.ts';
import { Failure } from '../lib/failure.ts';

/** Rules take no range that ends with 65535. */
export const PROBE_PORTS = { from: 61_000, to: 65_534 } as const;

/** As net.ipv4.ip_local_port_range has it: two numbers. */
export function parseLocalPorts(text: string): PortRange {
  const [from = 0, to = 0] = text.trim().split(/\s+/).map(Number);
  return { from, to };
}

/** As net.ipv4.ip_local_reserved_ports has it: numbers and ranges, with commas. */
export function parseReservedPorts(text: string): PortRange[] {
  return text
    .trim()
    .split(',')
    .filter((it) => it !== '')
    .map((it) => {
      const [from = 0, to = from] = it.split('-').map(Number);
      return { from, to };
    });
}

/** What connections of this host may have, and what of that is spared; in this process's network namespace. */
export type OwnPorts = { readonly local: PortRange; readonly reserved: readonly PortRange[] };

export function readOwnPorts(): OwnPorts {
  const setting = (name: string) => readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8');
  return {
    local: parseLocalPorts(setting('ip_local_port_range')),
    reserved: parseReservedPorts(setting('ip_local_reserved_ports')),
  };
}

/** Whether the host may give one of `ports` to a connection of its own. */
export function mayBeOwn(ports: PortRange, { local, reserved }: OwnPorts): boolean {
  let next = Math.max(ports.from, local.from);
  for (const range of reserved.toSorted((a, b) => a.from - b.from))
    if (range.from <= next && range.to >= next) next = range.to + 1;
  return next <= Math.min(ports.to, local.to);
}

/** @throws Failure where the host may give one of `ports` to a connection of its own. */
export function refuseOwnPorts(ports: PortRange, own: OwnPorts): void {
  if (!mayBeOwn(ports, own)) return;
  const { local } = own;
  throw new Failure('configuration', 'health checks cannot go through the tunnel on this node', {
    reason: `they ask from ports ${ports.from} to ${ports.to}, which connections of this host may have: net.ipv4.ip_local_port_range is ${local.from} ${local.to}`,
    remedy: `sysctl -w net.ipv4.ip_local_reserved_ports=${ports.from}-${ports.to}, together with what is reserved already; or set health.via of the pools to direct`,
  });
}
