// ARP and neighbour discovery for addresses that every server hears: who asks is told the shared link address, by one.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ServiceFlag, serviceCodec } from '../../../control/dataplane/generated/layout.ts';
import {
  CLIENT,
  CLIENT6,
  FilterServer,
  OWN_MAC,
  SERVICE,
  SERVICE6,
  SHARED_MAC,
} from '../lib/filter_server.ts';
import {
  address,
  be,
  concat,
  ETHER_TYPE,
  frame,
  icmp6,
  ipv6,
  type LinkFields,
  link,
  mac,
  padded,
} from '../lib/packets.ts';
import { FRAME_BYTES_MIN, hex } from '../lib/rig.ts';

const SELF = 2;
const ASKER_MAC = mac('02:00:00:00:99:01');
const BROADCAST = mac('ff:ff:ff:ff:ff:ff');
const ROUTER = '203.0.113.1';

let server: FilterServer;
beforeAll(() => {
  server = new FilterServer({ id: SELF });
});
afterAll(() => server?.close());
beforeEach(() => {
  server.setDeadline(undefined);
  server.setBuckets('address', SELF);
  server.setBuckets('address6', SELF);
});

/** The record of an address, as the control plane would change it. */
function changeAddress(text: string, change: (flags: number) => number): void {
  const view = server.view('.data.services');
  const wanted = Buffer.from(
    text.includes(':') ? address(text) : concat(be(0, 10), be(0xffff, 2), address(text)),
  );
  for (let offset = 0; offset < view.byteLength; offset += serviceCodec.sizeBytes) {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, serviceCodec.sizeBytes);
    if (
      !wanted.equals(bytes.subarray(0, 16)) ||
      view.getUint16(offset + 32) !== 0 ||
      view.getUint8(offset + 34) !== 0
    )
      continue;
    view.setUint8(offset + 35, change(view.getUint8(offset + 35)));
  }
}
const without = (flag: number) => (flags: number) => flags & ~flag;
const withFlag = (flag: number) => (flags: number) => flags | flag;

type Arp = {
  operation?: number;
  sender?: string;
  target?: string;
  hardware?: number;
  senderMac?: Uint8Array;
  targetMac?: Uint8Array;
  link?: LinkFields;
};
const arpFrame = (it: Arp): Uint8Array =>
  link(
    { destination: BROADCAST, source: ASKER_MAC, ...it.link },
    ETHER_TYPE.arp,
    concat(
      be(it.hardware ?? 1, 2),
      be(0x0800, 2),
      be(6, 1),
      be(4, 1),
      be(it.operation ?? 1, 2),
      it.senderMac ?? ASKER_MAC,
      address(it.sender ?? ROUTER),
      it.targetMac ?? new Uint8Array(6),
      address(it.target ?? SERVICE),
      new Uint8Array(18),
    ),
  );

describe('an ARP request for a service address', () => {
  it('is told the link address that all servers hear, from the own one', () => {
    const { verdict, output, counted } = server.judge(arpFrame({}));
    expect({ verdict, counted }).toEqual({ verdict: 'TX', counted: { REPLY_NEIGHBOUR: 1 } });
    const wanted = arpFrame({
      operation: 2,
      sender: SERVICE,
      senderMac: SHARED_MAC,
      target: ROUTER,
      targetMac: ASKER_MAC,
      link: { destination: ASKER_MAC, source: OWN_MAC(SELF) },
    });
    expect(hex(output)).toBe(hex(wanted));
  });

  it('is answered behind a VLAN tag', () => {
    const tags = [{ tci: 7 }];
    const { output } = server.judge(arpFrame({ link: { tags } }));
    expect(hex(output)).toBe(
      hex(
        arpFrame({
          operation: 2,
          sender: SERVICE,
          senderMac: SHARED_MAC,
          target: ROUTER,
          targetMac: ASKER_MAC,
          link: { destination: ASKER_MAC, source: OWN_MAC(SELF), tags },
        }),
      ),
    );
  });

  it('is left to the server whose bucket the asker has, and never to the kernel', () => {
    server.setBuckets('address', 3);
    expect(server.judge(arpFrame({}))).toMatchObject({ verdict: 'DROP', counted: { DROP_NEIGHBOUR: 1 } });
  });

  it('is answered by nobody where that is switched off, and never by the kernel', () => {
    changeAddress(SERVICE, without(ServiceFlag.SERVICE_NEIGHBOUR));
    expect(server.judge(arpFrame({}))).toMatchObject({ verdict: 'DROP', counted: { DROP_NEIGHBOUR: 1 } });
    changeAddress(SERVICE, withFlag(ServiceFlag.SERVICE_NEIGHBOUR));
    expect(server.judge(arpFrame({})).verdict).toBe('TX');
  });

  it('is not answered past the deadline', () => {
    server.setDeadline(-1);
    expect(server.judge(arpFrame({}))).toMatchObject({ verdict: 'DROP', counted: { DROP_FENCED: 1 } });
  });

  it.each([
    ['of another address', { target: '203.0.113.99' }],
    ['that is a reply', { operation: 2 }],
    ['of another kind of link', { hardware: 6 }],
  ] as const)('%s is the host’s', (_, it) => {
    const sent = arpFrame(it);
    const { verdict, output, counted } = server.judge(sent);
    expect({ verdict, counted }).toEqual({ verdict: 'PASS', counted: { PASS_NOT_IP: 1 } });
    expect(hex(output)).toBe(hex(sent));
  });

  it('is left alone where it is not all there', () => {
    const whole = arpFrame({});
    for (let length = FRAME_BYTES_MIN; length < 14 + 28; length++)
      expect(server.run(whole.slice(0, length)).verdict, `${length} bytes`).toBe('PASS');
  });
});

type Solicitation = {
  source?: string;
  destination?: string;
  target?: string;
  ttl?: number;
  code?: number;
  option?: Uint8Array;
};
const SOLICITED = 'ff02::1:ff00:10';
const SOURCE_LINK = concat(be(1, 1), be(1, 1), ASKER_MAC);
const solicitation = (it: Solicitation = {}): Uint8Array =>
  padded(
    frame(
      ipv6(
        { source: it.source ?? CLIENT6, destination: it.destination ?? SOLICITED, ttl: it.ttl ?? 255 },
        icmp6({
          type: 135,
          code: it.code ?? 0,
          data: concat(address(it.target ?? SERVICE6), it.option ?? SOURCE_LINK),
        }),
      ),
      { destination: mac('33:33:ff:00:00:10'), source: ASKER_MAC },
    ),
  );
const advertisement = (): Uint8Array =>
  frame(
    ipv6(
      { source: SERVICE6, destination: CLIENT6, ttl: 255 },
      icmp6({ type: 136, rest: 0x60000000, data: concat(address(SERVICE6), be(2, 1), be(1, 1), SHARED_MAC) }),
    ),
    { destination: ASKER_MAC, source: OWN_MAC(SELF) },
  );

describe('a neighbour solicitation for a service address', () => {
  it.each([
    ['to its solicited-node address', {}],
    ['to the address itself', { destination: SERVICE6 }],
    ['without an option', { option: new Uint8Array(0) }],
    ['with more options', { option: concat(SOURCE_LINK, new Uint8Array([14, 1, 0, 0, 0, 0, 0, 0])) }],
  ] as const)('%s is told the link address that all servers hear', (_, it) => {
    const { verdict, output, counted } = server.judge(solicitation(it));
    expect({ verdict, counted }).toEqual({ verdict: 'TX', counted: { REPLY_NEIGHBOUR: 1 } });
    expect(hex(output)).toBe(hex(advertisement()));
  });

  it.each([['of who has no address yet', { source: '::' }]] as const)(
    '%s is not answered, nor by the kernel',
    (_, it) => {
      expect(server.judge(solicitation(it))).toMatchObject({
        verdict: 'DROP',
        counted: { DROP_NEIGHBOUR: 1 },
      });
    },
  );

  it('is left to the server whose bucket the asker has, or to nobody where that is switched off', () => {
    server.setBuckets('address6', 3);
    expect(server.judge(solicitation()).counted).toEqual({ DROP_NEIGHBOUR: 1 });
    server.setBuckets('address6', SELF);
    changeAddress(SERVICE6, without(ServiceFlag.SERVICE_NEIGHBOUR));
    expect(server.judge(solicitation()).counted).toEqual({ DROP_NEIGHBOUR: 1 });
    changeAddress(SERVICE6, withFlag(ServiceFlag.SERVICE_NEIGHBOUR));
  });

  it('is not answered past the deadline', () => {
    server.setDeadline(-1);
    expect(server.judge(solicitation()).counted).toEqual({ DROP_FENCED: 1 });
  });

  it.each([
    ['from beyond the link', { ttl: 254 }],
    ['with a code', { code: 1 }],
    ['of another address', { target: '2001:db8:5::99' }],
  ] as const)('%s is the host’s', (_, it) => {
    const sent = solicitation(it);
    const { verdict, output, counted } = server.judge(sent);
    expect({ verdict, counted }).toEqual({ verdict: 'PASS', counted: { PASS_NOT_A_SERVICE: 1 } });
    expect(hex(output)).toBe(hex(sent));
  });
});

it('names a client of its own subnet no other way', () => {
  expect(server.judge(arpFrame({ sender: CLIENT })).verdict).toBe('TX');
});
