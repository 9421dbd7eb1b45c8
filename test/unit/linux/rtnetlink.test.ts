// The codecs against bytes written by hand from linux/netlink.h, linux/if_link.h and linux/rtnetlink.h
// (little-endian hosts, as all that we build for).
import { describe, expect, test } from 'vitest';
import {
  decodeAddress,
  encodeAddressAdd,
  encodeAddressDelete,
} from '../../../native/linux/lib/rtnetlink/address.ts';
import { attributes } from '../../../native/linux/lib/rtnetlink/attribute.ts';
import { MalformedMessageError, Writer } from '../../../native/linux/lib/rtnetlink/bytes.ts';
import { decodeEvent } from '../../../native/linux/lib/rtnetlink/event.ts';
import {
  formatIp,
  formatPrefix,
  parseIp,
  parseMac,
  parsePrefix,
} from '../../../native/linux/lib/rtnetlink/ip.ts';
import { decodeLink, encodeLinkChange, encodeVethCreate } from '../../../native/linux/lib/rtnetlink/link.ts';
import { decodeCompletion, messages } from '../../../native/linux/lib/rtnetlink/message.ts';
import {
  decodeNeighbour,
  encodeNeighbourAdd,
  encodeNeighbourUse,
} from '../../../native/linux/lib/rtnetlink/neighbour.ts';
import { decodeRoute, encodeRouteAdd, encodeRouteGet } from '../../../native/linux/lib/rtnetlink/route.ts';

const hex = (text: string): Uint8Array =>
  new Uint8Array(Buffer.from(text.replace(/#.*$/gm, '').replace(/\s/g, ''), 'hex'));
const first = (text: string) => [...messages(hex(text))][0]!;

describe('messages', () => {
  test('are framed by their length and padded to four bytes', () => {
    const two = hex(`
      12000000 1000 0200 07000000 09000000 aabb 0000   # 18 bytes and padding
      10000000 0300 0200 07000000 09000000`);
    expect([...messages(two)]).toEqual([
      { type: 16, flags: 2, sequence: 7, portId: 9, payload: hex('aabb') },
      { type: 3, flags: 2, sequence: 7, portId: 9, payload: hex('') },
    ]);
  });

  test.each([
    ['shorter than a header', '10000000 1000 0000'],
    ['of a length below a header', '0f000000 1000 0000 00000000 00000000'],
    ['of a length beyond the bytes', '14000000 1000 0000 00000000 00000000'],
    ['of the greatest length', 'ffffffff 1000 0000 00000000 00000000'],
  ])('%s are malformed', (_, text) => {
    expect(() => [...messages(hex(text))]).toThrow(MalformedMessageError);
  });

  test('that acknowledge say so', () => {
    const ack = first(`
      24000000 0200 0001 01000000 02000000  00000000    # capped, error 0
      20000000 1000 0500 01000000 00000000`);
    expect(decodeCompletion(ack)).toEqual({ errno: 0, extack: undefined });
  });

  test('that refuse carry the text of the extended acknowledgement', () => {
    const refusal = first(`
      34000000 0200 0003 01000000 02000000  eaffffff    # capped, with attributes, -22
      20000000 1000 0500 01000000 00000000
      0e00 0100 6e6f7420207468617400 0000               # NLMSGERR_ATTR_MSG`);
    expect(decodeCompletion(refusal)).toEqual({ errno: 22, extack: 'not  that' });
  });

  test('that repeat the whole request have their attributes after it', () => {
    const refusal = first(`
      34000000 0200 0002 01000000 02000000  ffffffff
      14000000 1000 0500 01000000 00000000 11223344     # the request: 20 bytes
      0a00 0100 68656c6c6f00 0000`);
    expect(decodeCompletion(refusal)).toEqual({ errno: 1, extack: 'hello' });
  });

  test('that end a dump may fail it', () => {
    expect(decodeCompletion(first('14000000 0300 0200 01000000 02000000 feffffff'))).toEqual({
      errno: 2,
      extack: undefined,
    });
    expect(() => decodeCompletion(first('14000000 0300 0200 01000000 02000000 01000000'))).toThrow(
      MalformedMessageError,
    );
    expect(decodeCompletion(first('10000000 1000 0200 01000000 02000000'))).toBeUndefined();
  });
});

describe('attributes', () => {
  test('lose their nested and byte-order bits and their padding', () => {
    const list = [...attributes(hex('0500 0380 61 000000 0600 0240 0102'))];
    expect(list.map(({ type, value }) => [type, value])).toEqual([
      [3, hex('61')],
      [2, hex('0102')],
    ]);
  });

  test.each(['0400', '0300 0100', '0000 0100', '0900 0100 00000000'])('%s are malformed', (text) => {
    expect(() => [...attributes(hex(text))]).toThrow(MalformedMessageError);
  });

  test('of a wrong size are malformed', () => {
    const [attribute] = attributes(hex('0600 0400 dc05'));
    expect(() => attribute!.u32()).toThrow(MalformedMessageError);
    expect(attribute!.u16()).toBe(1500);
  });
});

const LINK = hex(`
  00 00 0100 07000000 43100100 00000000       # AF_UNSPEC, Ethernet, 7, UP BROADCAST RUNNING MULTICAST LOWER_UP
  0700 0300 763000 00                         # IFLA_IFNAME v0
  0500 1000 06 000000                         # IFLA_OPERSTATE up
  0800 0400 dc050000                          # IFLA_MTU 1500
  0800 0500 02000000                          # IFLA_LINK 2
  0800 2500 03000000                          # IFLA_LINK_NETNSID 3
  0800 0a00 09000000                          # IFLA_MASTER 9
  0800 1e00 01000000                          # IFLA_PROMISCUITY 1
  0800 2000 04000000                          # IFLA_NUM_RX_QUEUES 4
  0a00 0100 020000000001 0000                 # IFLA_ADDRESS
  1400 2b80 0500 0200 02 000000 0800 0400 2a000000   # IFLA_XDP: generic, program 42
  1000 1280 0900 0100 7665746800 000000       # IFLA_LINKINFO: veth
  1000 3480 0a00 3500 6c6f6e673100 0000       # IFLA_PROP_LIST: long1
`);

describe('links', () => {
  test('are read', () => {
    expect(decodeLink(LINK)).toEqual({
      family: 0,
      ifindex: 7,
      name: 'v0',
      alternativeNames: ['long1'],
      hardwareType: 1,
      mac: '02:00:00:00:00:01',
      mtuBytes: 1500,
      flags: 0x11043,
      up: true,
      operationalState: 'up',
      kind: 'veth',
      masterIfindex: 9,
      peerIfindex: 2,
      peerNetnsId: 3,
      xdp: {
        mode: 'generic',
        programId: 42,
        driverProgramId: undefined,
        genericProgramId: undefined,
        hardwareProgramId: undefined,
      },
      promiscuityCount: 1,
      rxQueueCount: 4,
      txQueueCount: undefined,
    });
  });

  test('are written', () => {
    expect(encodeLinkChange(7, { up: true, mtuBytes: 1400 })).toEqual(
      hex(`28000000 1000 0500 00000000 00000000
           00 00 0000 07000000 01000000 01000000  0800 0400 78050000`),
    );
    expect(encodeLinkChange(7, { up: false })).toEqual(
      hex('20000000 1000 0500 00000000 00000000  00 00 0000 07000000 00000000 01000000'),
    );
    expect(encodeVethCreate({ name: 'a', peer: 'b', mac: '02:00:00:00:00:01' }, 5)).toEqual(
      hex(`6c000000 1000 0506 00000000 00000000  00000000 00000000 00000000 00000000
           0600 0300 6100 0000  0a00 0100 020000000001 0000
           3800 1280  0900 0100 7665746800 000000                   # IFLA_LINKINFO: 4 + 12 + 40
             2800 0280  2400 0180  00000000 00000000 00000000 00000000   # VETH_INFO_PEER: 4 + 16 + 8 + 8
               0600 0300 6200 0000  0800 1c00 05000000`),
    );
  });

  test('of a bridge port are no event', () => {
    const port = LINK.slice();
    port[0] = 7;
    const message = { type: 17, flags: 0, sequence: 0, portId: 0 };
    expect(decodeEvent({ ...message, payload: port })).toBeUndefined();
    expect(decodeEvent({ ...message, payload: LINK })).toMatchObject({ kind: 'link', change: 'deleted' });
  });
});

describe('addresses', () => {
  test('are read, point-to-point ones with their peer', () => {
    expect(
      decodeAddress(
        hex(`02 18 80 00 07000000  0800 0100 c6120001 0800 0200 c6120001 0800 0400 c61200ff
             0700 0300 763000 00  0800 0800 80020000`),
      ),
    ).toEqual({
      ifindex: 7,
      family: 4,
      address: '198.18.0.1',
      prefixLength: 24,
      peer: undefined,
      broadcast: '198.18.0.255',
      label: 'v0',
      scope: 0,
      flags: 0x280,
    });
    expect(decodeAddress(hex('02 20 80 00 07000000  0800 0100 c6120002 0800 0200 c6120001'))).toMatchObject({
      address: '198.18.0.1',
      peer: '198.18.0.2',
    });
  });

  test('without an address, or of a wrong length, are malformed; of other families are none', () => {
    expect(() => decodeAddress(hex('02 18 80 00 07000000'))).toThrow(MalformedMessageError);
    expect(() => decodeAddress(hex('0a 18 80 00 07000000 0800 0100 c6120001'))).toThrow(
      MalformedMessageError,
    );
    expect(decodeAddress(hex('1c 18 80 00 07000000'))).toBeUndefined();
  });

  test('are written', () => {
    const body = '02 18 00 00 07000000  0800 0200 c6120001  0800 0100 c6120001';
    const spec = { ifindex: 7, address: '198.18.0.1', prefixLength: 24 };
    expect(encodeAddressAdd(spec)).toEqual(hex(`28000000 1400 0506 00000000 00000000 ${body}`));
    expect(encodeAddressAdd({ ...spec, replace: true })).toEqual(
      hex(`28000000 1400 0505 00000000 00000000 ${body}`),
    );
    expect(encodeAddressDelete(spec)).toEqual(hex(`28000000 1500 0500 00000000 00000000 ${body}`));
  });
});

describe('routes', () => {
  test('of two paths, one through the other family, are read', () => {
    const route = decodeRoute(
      hex(
        `02 10 00 00 fe 04 00 01 00000000
           0800 0f00 e8030000  0800 0100 c6130000  0800 0600 07000000  0800 0700 c6120001
           0c00 0880 0800 0200 78050000
           3400 0980
             1000 00 02 07000000 0800 0500 c6120002
             2000 04 00 08000000 1600 1200 0a00 fe800000000000000000000000000001 0000   # RTA_VIA`,
      ),
    );
    expect(route).toEqual({
      family: 4,
      type: 'unicast',
      dst: { address: '198.19.0.0', prefixLength: 16 },
      src: undefined,
      gateway: undefined,
      oif: undefined,
      prefsrc: '198.18.0.1',
      table: 1000,
      protocol: 4,
      scope: 0,
      priority: 7,
      mtuBytes: 1400,
      nextHops: [
        { oif: 7, gateway: '198.18.0.2', weight: 3, flags: 0 },
        { oif: 8, gateway: 'fe80::1', weight: 1, flags: 4 },
      ],
      nextHopId: undefined,
      flags: 0,
    });
  });

  test('without a destination are the default', () => {
    expect(decodeRoute(hex('0a 00 00 00 fe 04 00 01 00000000 0800 0400 07000000'))).toMatchObject({
      family: 6,
      dst: { address: '::', prefixLength: 0 },
      oif: 7,
      table: 254,
    });
  });

  test.each([
    ['a prefix longer than its address', '02 21 00 00 fe 04 00 01 00000000'],
    ['a next hop of length 0', '02 00 00 00 fe 04 00 01 00000000 0c00 0900 0000 00 00 07000000'],
    ['a next hop beyond its attribute', '02 00 00 00 fe 04 00 01 00000000 0c00 0900 0900 00 00 07000000'],
    ['a gateway of another length', '02 00 00 00 fe 04 00 01 00000000 0600 0500 c612'],
  ])('with %s are malformed', (_, text) => {
    expect(() => decodeRoute(hex(text))).toThrow(MalformedMessageError);
  });

  test('are written', () => {
    const dst = { address: '198.19.0.0', prefixLength: 16 };
    expect(encodeRouteAdd({ dst, gateway: '2001:db8::1', oif: 7, table: 1000, mtuBytes: 1400 })).toEqual(
      hex(`58000000 1800 0506 00000000 00000000  02 10 00 00 00 04 00 01 00000000
           0800 0100 c6130000  0800 0f00 e8030000
           1600 1200 0a00 20010db8000000000000000000000001 0000
           0800 0400 07000000  0c00 0880 0800 0200 78050000`),
    );
    expect(encodeRouteGet('198.18.0.9', { from: '198.18.0.1', oif: 7 })).toEqual(
      hex(`34000000 1a00 0500 00000000 00000000  02 20 20 00 00 00 00 00 00000000
           0800 0100 c6120009  0800 0200 c6120001  0800 0400 07000000`),
    );
    expect(encodeRouteAdd({ dst, nextHops: [{ oif: 7 }, { gateway: '198.18.0.2', weight: 256 }] })).toEqual(
      hex(`40000000 1800 0506 00000000 00000000  02 10 00 00 fe 04 00 01 00000000
           0800 0100 c6130000  1c00 0980  0800 00 00 07000000  1000 00 ff 00000000 0800 0500 c6120002`),
    );
  });

  test('that contradict themselves are refused before anything is written', () => {
    const dst = { address: '198.19.0.0', prefixLength: 16 };
    expect(() => encodeRouteAdd({ dst: { ...dst, prefixLength: 33 } })).toThrow(RangeError);
    expect(() => encodeRouteAdd({ dst, prefsrc: '2001:db8::1' })).toThrow(TypeError);
    expect(() => encodeRouteAdd({ dst, nextHops: [] })).toThrow(RangeError);
    expect(() => encodeRouteAdd({ dst, nextHops: [{ weight: 257 }] })).toThrow(RangeError);
  });
});

describe('neighbours', () => {
  test('are read; bridge entries are none', () => {
    const entry = hex('02 00 0000 07000000 0200 00 01  0800 0100 c6120002  0a00 0200 020000000002 0000');
    expect(decodeNeighbour(entry)).toEqual({
      ifindex: 7,
      family: 4,
      address: '198.18.0.2',
      lladdr: '02:00:00:00:00:02',
      state: 'reachable',
      flags: 0,
    });
    expect(
      decodeNeighbour(hex('07 00 0000 07000000 8000 00 01 0a00 0200 020000000002 0000')),
    ).toBeUndefined();
  });

  test('are written', () => {
    expect(encodeNeighbourAdd({ ifindex: 7, address: '198.18.0.2', lladdr: '02:00:00:00:00:02' })).toEqual(
      hex(`30000000 1c00 0506 00000000 00000000  02 00 0000 07000000 8000 00 00
           0800 0100 c6120002  0a00 0200 020000000002 0000`),
    );
    expect(encodeNeighbourUse({ ifindex: 7, address: '198.18.0.2' })).toEqual(
      hex('24000000 1c00 0504 00000000 00000000  02 00 0000 07000000 0000 01 00  0800 0100 c6120002'),
    );
  });
});

describe('addresses as text', () => {
  test.each([
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::', '::'],
    ['1::', '1::'],
    ['0:0:1::', '0:0:1::'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['::ffff:198.18.0.1', '::ffff:198.18.0.1'],
    ['64:ff9b::198.18.0.1', '64:ff9b::c612:1'],
    ['198.18.0.1', '198.18.0.1'],
  ])('%s becomes %s', (text, canonical) => {
    const bytes = parseIp(text)!;
    expect(formatIp(bytes, bytes.length === 4 ? 4 : 6)).toBe(canonical);
  });

  test.each([
    [
      '',
      '1',
      '1.2.3',
      '1.2.3.4.5',
      '01.2.3.4',
      '256.1.1.1',
      '1.2.3.4 ',
      ':',
      ':::',
      '1::2::3',
      '1:2:3:4:5:6:7',
    ],
    [
      '1:2:3:4:5:6:7:8:9',
      '1:2:3:4:5:6:7::8',
      '12345::',
      'g::',
      'fe80::1%eth0',
      '1.2.3.4::',
      '::1.2.3',
      ':1::2',
    ],
  ])('%s and the like are none', (...texts) => {
    for (const text of texts) expect(parseIp(text), text).toBeUndefined();
  });

  test('prefixes and MAC addresses are read', () => {
    expect(parsePrefix('198.18.0.0/15')).toEqual({ address: '198.18.0.0', prefixLength: 15 });
    expect(parsePrefix('2001:db8::1')).toEqual({ address: '2001:db8::1', prefixLength: 128 });
    expect(formatPrefix({ address: '2001:db8::', prefixLength: 32 })).toBe('2001:db8::/32');
    for (const text of ['198.18.0.0/33', '198.18.0.0/', '/8', '::/129', '1.2.3.4/-1']) {
      expect(parsePrefix(text), text).toBeUndefined();
    }
    expect(parseMac('02:00:00:00:00:fF')).toEqual(hex('0200000000ff'));
    for (const text of ['02:00:00:00:00', '2:0:0:0:0:0', '02-00-00-00-00-01'])
      expect(parseMac(text)).toBeUndefined();
  });
});

test('the writer keeps what it has when it grows', () => {
  const writer = new Writer();
  for (let i = 0; i < 1000; i += 1) writer.u16(i);
  const bytes = writer.finish();
  expect(bytes).toHaveLength(2000);
  expect(new DataView(bytes.buffer).getUint16(1998, true)).toBe(999);
});
