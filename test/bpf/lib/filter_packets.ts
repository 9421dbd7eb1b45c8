// Packets of clients to the services of filter_server.ts, with the hash of their key.
import { CLIENT, CLIENT6, hashOf, type ServiceName, SHARED_MAC, SITE } from './filter_server.ts';
import { type Datagram, frame, type IpFields, ip, type LinkFields, TCP_FLAG, tcp, udp } from './packets.ts';

export type ClientPacket = { frame: Uint8Array; datagram: Datagram; hash: bigint };

export type PacketFields = {
  client?: string;
  clientPort?: number;
  port?: number;
  protocol?: number;
  flags?: number;
  data?: Uint8Array;
  link?: LinkFields;
  ip?: Partial<IpFields> & Record<string, unknown>;
};

const SYN = TCP_FLAG.syn;

export function packetTo(service: ServiceName, fields: PacketFields = {}): ClientPacket {
  const site = SITE[service];
  const protocol = fields.protocol ?? (site.protocol === 0 ? 6 : site.protocol);
  const destination: string = site.address;
  const source = fields.client ?? (destination.includes(':') ? CLIENT6 : CLIENT);
  const ports = {
    sourcePort: fields.clientPort ?? 40001,
    destinationPort: fields.port ?? (site.port || 5000),
  };
  const data = fields.data ?? new Uint8Array(6);
  const layer =
    protocol === 6 ? tcp({ ...ports, flags: fields.flags ?? TCP_FLAG.ack, data }) : udp({ ...ports, data });
  const datagram = ip({ source, destination, ...fields.ip }, layer);
  return {
    datagram,
    frame: frame(datagram, { destination: SHARED_MAC, ...fields.link }),
    hash: hashOf(service, { source, destination, protocol, ...ports }),
  };
}

export const syn = (service: ServiceName, fields: PacketFields = {}): ClientPacket =>
  packetTo(service, { ...fields, flags: SYN });

/** As the host gets it: to its own link address. */
export function accepted(frame: Uint8Array, own: Uint8Array): Uint8Array {
  const out = Uint8Array.from(frame);
  out.set(own, 0);
  return out;
}
