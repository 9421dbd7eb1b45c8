// Owns the way by which this host's own connections from a range of ports go into a TUN device instead of onto a network: the
// device, and the routes and rules that lead there. What comes out of the device is somebody else's to wrap; it is sent from
// here, with its own headers.
//
// Why so: no kernel module is needed (ipip, fou and their like are modules that hosts may lack), connections are the kernel's
// own, so that whatever speaks TCP or UDP can be asked, and answers come back as any packet does: from the service address
// to this host's address, by the ordinary way. Only what this host sends itself from the ports is led there: packets that it
// forwards are not touched. The ports are above those that Linux gives out by default (32768-60999).
import { type OwnPortsRule, RawSender, type Rtnetlink, TunDevice } from '@holdfast/linux';
import { Failure } from '../lib/failure.ts';
import { PROBE_PORTS, readOwnPorts, refuseOwnPorts } from './probe_ports.ts';

const DEVICE = 'holdfast-probe';
const TABLE = 7_446;
const PRIORITY = 7_446;
/** What fits, wrapped, through any path that IPv6 runs on. */
const MTU_BYTES = 1_280;
const EVERYWHERE = {
  4: { address: '0.0.0.0', prefixLength: 0 },
  6: { address: '::', prefixLength: 0 },
} as const;

export type ProbeWayOptions = {
  readonly rtnetlink: Rtnetlink;
  readonly versions: readonly (4 | 6)[];
  readonly onPacket: (packet: Uint8Array) => void;
  /** The device is gone: nothing leaves by this way any more. */
  readonly onGone: (error: Failure) => void;
};

export class ProbeWay {
  readonly #rtnetlink: Rtnetlink;
  readonly #device: TunDevice;
  readonly #senders = new Map<4 | 6, RawSender>();
  readonly #rules: OwnPortsRule[] = [];

  /** @throws Failure unsupported where the host has no TUN, or forbids it. */
  constructor({ rtnetlink, versions, onPacket, onGone }: ProbeWayOptions) {
    refuseOwnPorts(PROBE_PORTS, readOwnPorts());
    this.#rtnetlink = rtnetlink;
    this.#device = made();
    try {
      this.#device.onPacket(onPacket, (errno) => onGone(gone(errno)));
      const link = rtnetlink.link(DEVICE);
      if (link === undefined) throw new Error(`${DEVICE} is not there`);
      rtnetlink.setMtu(link.ifindex, MTU_BYTES);
      rtnetlink.setLinkUp(link.ifindex);
      for (const version of versions) {
        rtnetlink.addRoute({
          dst: EVERYWHERE[version],
          oif: link.ifindex,
          table: TABLE,
          replace: true,
        });
        this.#lead(version);
      }
      for (const version of [4, 6] as const) {
        try {
          this.#senders.set(version, new RawSender(version));
        } catch (error) {
          // A host may lack a version altogether: it has no tunnels of it either.
          if (versions.includes(version)) throw error;
        }
      }
    } catch (cause) {
      this.close();
      throw new Failure('unsupported', 'health checks cannot go through the tunnel on this node', {
        cause,
        remedy: 'let holdfastd have CAP_NET_ADMIN and CAP_NET_RAW, or set health.via to direct',
      });
    }
  }

  /** The name of an error, such as ENETUNREACH, where it was not taken. */
  send(version: 4 | 6, packet: Uint8Array, destination: Uint8Array): string | undefined {
    return this.#senders.get(version)?.send(packet, destination);
  }

  close(): void {
    for (const rule of this.#rules) {
      try {
        this.#rtnetlink.deleteRule(rule);
      } catch {
        // Somebody took it away.
      }
    }
    // Its routes go with it.
    this.#device.close();
    for (const sender of this.#senders.values()) sender.close();
  }

  /** One that a daemon left which was killed is the same, and stays. */
  #lead(family: 4 | 6): void {
    const { from: fromPort, to: toPort } = PROBE_PORTS;
    const rule = { family, priority: PRIORITY, table: TABLE, fromPort, toPort };
    const isThere = this.#rtnetlink
      .rules(family)
      .some((it) => it.priority === PRIORITY && it.table === TABLE);
    if (!isThere) this.#rtnetlink.addRule(rule);
    this.#rules.push(rule);
  }
}

function made(): TunDevice {
  try {
    return new TunDevice(DEVICE);
  } catch (cause) {
    throw new Failure('unsupported', 'health checks cannot go through the tunnel on this node', {
      cause,
      remedy: 'load the module tun (modprobe tun), or set health.via of the pools to direct',
    });
  }
}

function gone(errno: number): Failure {
  return new Failure('unavailable', `${DEVICE} is gone, by which health checks go through the tunnel`, {
    reason: `reading it failed with error ${errno}`,
    remedy: 'restart holdfastd; forwarding goes on',
  });
}
