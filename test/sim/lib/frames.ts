// Owns reading frames that programs sent: to whom they go, and whether they carry what they should.
import { address } from '../../bpf/lib/packets.ts';
import type { Verdict } from './nodes.ts';
import { HOSTS, macOf, SERVICE_ADDRESSES } from './site.ts';
import type { Packet } from './traffic.ts';

const ETHERNET_BYTES = 14;
const IPV6 = 0x86dd;

/** Addresses as the site writes them, by their bytes. */
const NAMES = new Map(
  [...HOSTS.map((host) => host.address), ...SERVICE_ADDRESSES].map((text) => [hex(address(text)), text]),
);

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Of the outermost IP header; in hexadecimal where the site does not know it. */
export function outerDestination(frame: Uint8Array): string {
  const isIpv6 = frame[12]! * 256 + frame[13]! === IPV6;
  const bytes = isIpv6 ? frame.subarray(38, 54) : frame.subarray(30, 34);
  return NAMES.get(hex(bytes)) ?? hex(bytes);
}

/** What is wrong with what a host's program made of a tunnel packet; undefined where nothing is. */
export function wrongDelivery(
  host: number,
  tunnelled: Uint8Array,
  output: Uint8Array,
  { datagram }: Packet,
): string | undefined {
  const mac = [...tunnelled.subarray(0, 6)].map((octet) => octet.toString(16).padStart(2, '0')).join(':');
  if (mac !== macOf(host)) return `came for MAC address ${mac}`;
  const type = output[12]! * 256 + output[13]!;
  if (type !== (datagram.version === 4 ? 0x0800 : IPV6)) return `has EtherType ${type.toString(16)}`;
  if (Buffer.compare(output.subarray(ETHERNET_BYTES), datagram.bytes) !== 0)
    return 'is not what the client sent';
  return undefined;
}

/** The verdicts that the first word of a reason allows. */
const VERDICTS: Readonly<Record<string, readonly Verdict[]>> = {
  PASS: ['PASS'],
  DECAP: ['PASS'],
  FORWARD: ['TX', 'REDIRECT'],
  REPLY: ['TX'],
  DROP: ['DROP'],
};

export function wrongVerdict(reason: string, verdict: Verdict): boolean {
  return !VERDICTS[reason.split('_')[0]!]?.includes(verdict);
}
