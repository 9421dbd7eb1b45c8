// Owns whether the ports that health checks ask from are free of the host's own connections, which a rule leads away from
// their interfaces. Reading the settings is the constructor's of probe_way.ts.
import { Failure } from '../lib/failure.ts';

export type PortRange = { readonly from: number; readonly to: number };

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

/** @throws Failure where the host may give one of `ports` to a connection of its own. */
export function refuseOwnPorts(ports: PortRange, local: PortRange, reserved: readonly PortRange[]): void {
  const from = Math.max(ports.from, local.from);
  const to = Math.min(ports.to, local.to);
  let next = from;
  for (const range of reserved.toSorted((a, b) => a.from - b.from))
    if (range.from <= next && range.to >= next) next = range.to + 1;
  if (next > to) return;
  throw new Failure('configuration', 'health checks cannot go through the tunnel on this node', {
    reason: `they ask from ports ${ports.from} to ${ports.to}, which connections of this host may have: net.ipv4.ip_local_port_range is ${local.from} ${local.to}`,
    remedy: `sysctl -w net.ipv4.ip_local_reserved_ports=${ports.from}-${ports.to}, together with what is reserved already; or set health.via of the pools to direct`,
  });
}
