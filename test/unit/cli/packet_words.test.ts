// Frames in words. The frames come from the builder of the tests of the programs, which shares no code with this.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describeFrame } from '../../../control/cli/packet_words.ts';
import * as packets from '../../bpf/lib/packets.ts';

const words = (frame: Uint8Array): string => describeFrame(frame, { guePort: 6080 });

const V4 = { source: '192.0.2.7', destination: '198.18.0.10' };
const V6 = { source: '2001:db8::7', destination: '2001:db8:1::10' };
const OUTER = { source: '198.51.100.9', destination: '10.0.0.1' };
const OUTER6 = { source: '2001:db8:f::9', destination: '2001:db8:2::1' };
const PORTS = { sourcePort: 4242, destinationPort: 80 };
const { fin, syn, psh, ack } = packets.TCP_FLAG;
const SYN = packets.tcp({ ...PORTS, flags: syn });

const cases: readonly [string, Uint8Array, string][] = [
  [
    'a SYN',
    packets.frame(packets.ipv4(V4, SYN)),
    '192.0.2.7.4242 > 198.18.0.10.80: Flags [S], seq 16909060, win 64240, length 0',
  ],
  [
    'data over IPv6',
    packets.frame(
      packets.ipv6(V6, packets.tcp({ ...PORTS, flags: psh | ack | fin, data: packets.payload(5) })),
    ),
    '2001:db8::7.4242 > 2001:db8:1::10.80: Flags [FP.], seq 16909060, ack 168496141, win 64240, length 5',
  ],
  [
    'UDP',
    packets.frame(packets.ipv4(V4, packets.udp({ ...PORTS, data: packets.payload(12) }))),
    '192.0.2.7.4242 > 198.18.0.10.80: UDP, length 12',
  ],
  [
    'an echo request',
    packets.frame(packets.ipv4(V4, packets.icmp4({ type: 8, rest: 0x0007_0002 }))),
    '192.0.2.7 > 198.18.0.10: ICMP echo request, id 7, seq 2, length 8',
  ],
  [
    'an echo reply over IPv6',
    packets.frame(packets.ipv6(V6, packets.icmp6({ type: 129, rest: 0x0007_0002 }))),
    '2001:db8::7 > 2001:db8:1::10: ICMP6 echo reply, id 7, seq 2, length 8',
  ],
  [
    'Fragmentation Needed with the packet it is about',
    packets.frame(
      packets.ipv4(V4, packets.icmp4({ type: 3, code: 4, rest: 1400, data: packets.ipv4(V4, SYN).bytes })),
    ),
    '192.0.2.7 > 198.18.0.10: ICMP packet too big, mtu 1400, about: 192.0.2.7.4242 > 198.18.0.10.80: Flags [S], seq 16909060, win 64240, length 0',
  ],
  [
    'Packet Too Big with a packet that is cut off',
    packets.frame(
      packets.ipv6(
        V6,
        packets.icmp6({ type: 2, rest: 1400, data: packets.ipv6(V6, SYN).bytes.subarray(0, 48) }),
      ),
    ),
    '2001:db8::7 > 2001:db8:1::10: ICMP6 packet too big, mtu 1400, about: 2001:db8::7.4242 > 2001:db8:1::10.80: TCP [truncated header]',
  ],
  [
    'other ICMP',
    packets.frame(packets.ipv4(V4, packets.icmp4({ type: 13 }))),
    '192.0.2.7 > 198.18.0.10: ICMP type 13, code 0, length 8',
  ],
  [
    'IP in IP',
    packets.frame(packets.ipv4(OUTER, packets.inner(packets.ipv4(V4, SYN)))),
    '198.51.100.9 > 10.0.0.1: 192.0.2.7.4242 > 198.18.0.10.80: Flags [S], seq 16909060, win 64240, length 0',
  ],
  [
    'IPv4 in IPv6',
    packets.frame(packets.ipv6(OUTER6, packets.inner(packets.ipv4(V4, SYN)))),
    '2001:db8:f::9 > 2001:db8:2::1: 192.0.2.7.4242 > 198.18.0.10.80: Flags [S], seq 16909060, win 64240, length 0',
  ],
  [
    'GUE',
    packets.frame(
      packets.ipv4(OUTER, packets.gue({ sourcePort: 50000, destinationPort: 6080 }, packets.ipv6(V6, SYN))),
    ),
    '198.51.100.9.50000 > 10.0.0.1.6080: GUE, 2001:db8::7.4242 > 2001:db8:1::10.80: Flags [S], seq 16909060, win 64240, length 0',
  ],
  [
    'GUE with a header of its own',
    packets.frame(
      packets.ipv4(
        OUTER,
        packets.udp({
          sourcePort: 50000,
          destinationPort: 6080,
          data: packets.concat(packets.be(0x0129_0000, 4), packets.be(0, 4), packets.ipv6(V6, SYN).bytes),
        }),
      ),
    ),
    '198.51.100.9.50000 > 10.0.0.1.6080: GUE, 2001:db8::7.4242 > 2001:db8:1::10.80: Flags [S], seq 16909060, win 64240, length 0',
  ],
  [
    'what is no GUE at its port',
    packets.frame(
      packets.ipv4(
        OUTER,
        packets.udp({ sourcePort: 1, destinationPort: 6080, data: packets.be(0x2004_0000, 4) }),
      ),
    ),
    '198.51.100.9.1 > 10.0.0.1.6080: UDP, length 4',
  ],
  [
    'tunnels without end',
    packets.frame([1, 2, 3, 4].reduce((it) => packets.ipv4(OUTER, packets.inner(it)), packets.ipv4(V4, SYN))),
    `${'198.51.100.9 > 10.0.0.1: '.repeat(4)}[40 bytes more]`,
  ],
  [
    'a first fragment',
    packets.frame(
      packets.ipv4({ ...V4, identification: 77, moreFragments: true }, packets.udp({ ...PORTS })),
    ),
    '192.0.2.7.4242 > 198.18.0.10.80: UDP, length 0, fragment 77@0',
  ],
  [
    'a later fragment',
    packets.frame(
      packets.ipv4({ ...V4, identification: 77, fragmentOffset: 1480 }, packets.raw(17, packets.payload(24))),
    ),
    `192.0.2.7 > 198.18.0.10: UDP, fragment 77@1480, length 24`,
  ],
  [
    'a later fragment of IPv6 behind another extension header',
    packets.frame(
      packets.ipv6(
        {
          ...V6,
          extensions: [
            packets.hopByHop(),
            packets.fragmentHeader({ offset: 24, more: true, identification: 99 }),
          ],
        },
        packets.raw(6, packets.payload(16)),
      ),
    ),
    '2001:db8::7 > 2001:db8:1::10: TCP, fragment 99@24, length 16',
  ],
  [
    'VLAN tags',
    packets.frame(packets.ipv4(V4, SYN), { tags: [{ tpid: 0x88a8, tci: 0xe007 }, { tci: 300 }] }),
    'vlan 7, vlan 300, 192.0.2.7.4242 > 198.18.0.10.80: Flags [S], seq 16909060, win 64240, length 0',
  ],
  [
    'another protocol',
    packets.frame(packets.ipv4(V4, packets.raw(132, packets.payload(8)))),
    '192.0.2.7 > 198.18.0.10: SCTP, length 8',
  ],
  [
    'a protocol without a name',
    packets.frame(packets.ipv4(V4, packets.raw(200, packets.payload(8)))),
    '192.0.2.7 > 198.18.0.10: protocol 200, length 8',
  ],
  ['ARP', packets.link({}, packets.ETHER_TYPE.arp, packets.payload(28)), 'ARP'],
  ['another EtherType', packets.link({}, 0x88cc, packets.payload(9)), 'EtherType 0x88cc, length 9'],
  ['no Ethernet', packets.payload(13), '13 bytes, less than an Ethernet header'],
  ['no IP', packets.link({}, 0x0800, Uint8Array.of(0x75)), '[no IP packet, 1 bytes]'],
  ['half an IPv4 header', packets.link({}, 0x0800, Uint8Array.of(0x45, 0, 0)), '[truncated IPv4 header]'],
  ['half an IPv6 header', packets.link({}, 0x86dd, Uint8Array.of(0x60, 0, 0)), '[truncated IPv6 header]'],
];

describe('in words', () => {
  for (const [what, frame, text] of cases) it(`is ${what}`, () => expect(words(frame)).toBe(text));

  it('is every frame, cut anywhere, with any byte changed', () => {
    const frames = fc.constantFrom(...cases.map(([, frame]) => frame));
    fc.assert(
      fc.property(frames, fc.nat(), fc.nat(), fc.nat(255), (frame, length, at, value) => {
        const copy = Uint8Array.from(frame.subarray(0, length % (frame.length + 1)));
        if (copy.length > 0) copy[at % copy.length] = value;
        const text = words(copy);
        expect(text).not.toMatch(/undefined|NaN/);
        expect(text.length).toBeLessThan(400);
      }),
      { numRuns: 2_000 },
    );
  });
});
