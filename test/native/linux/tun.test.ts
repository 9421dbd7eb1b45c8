// TUN devices, packets with their own header, and rules that lead packets there.
import { RawSender, Rtnetlink, type SystemError, TunDevice, withNetns } from '@holdfast/linux';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { eventually, Lab, run } from './lab.ts';

const lab = new Lab();
let path: string;
let rtnetlink: Rtnetlink;
beforeAll(() => {
  path = lab.netns('tun');
  rtnetlink = new Rtnetlink({ netns: path });
});
afterAll(() => {
  rtnetlink.close();
  lab.remove();
});

const TABLE = 7_000;
const RULE = { family: 4, priority: 70, table: TABLE, fromPort: 61_000, toPort: 61_010 } as const;

/** With a route of this table to everything, or of the main one to 192.0.2.0/24. */
function device(name: string): { packets: Uint8Array[]; tun: TunDevice; ifindex: number } {
  const tun = withNetns(path, () => new TunDevice(name));
  onTestFinished(() => tun.close());
  const packets: Uint8Array[] = [];
  tun.onPacket(
    (packet) => packets.push(packet),
    () => {},
  );
  const { ifindex } = rtnetlink.link(name)!;
  rtnetlink.setLinkUp(ifindex);
  return { packets, tun, ifindex };
}

const version = (packet: Uint8Array): number => packet[0]! >> 4;
const sent = (packets: readonly Uint8Array[], to: number) =>
  packets.find((it) => version(it) === 4 && it[16] === 192 && it[19] === to);

describe('a TUN device', () => {
  test('delivers what the host routes into it, whole', async () => {
    const { packets, ifindex } = device('t-a');
    rtnetlink.addAddress({ ifindex, address: '192.0.2.1', prefixLength: 24 });
    run(
      'ip',
      'netns',
      'exec',
      path.replace('/run/netns/', ''),
      'bash',
      '-c',
      'echo -n hello > /dev/udp/192.0.2.9/9',
    );
    const packet = await eventually(() => sent(packets, 9), 'the datagram');
    expect(Buffer.from(packet).subarray(28).toString()).toBe('hello');
    expect(packet[9]).toBe(17);
  });

  test('goes when it is closed, which may be done twice, and its name is free', () => {
    const { tun } = device('t-b');
    tun.close();
    tun.close();
    expect(rtnetlink.link('t-b')).toBeUndefined();
    expect(() =>
      tun.onPacket(
        () => {},
        () => {},
      ),
    ).toThrow('closed');
    device('t-b');
  });

  test('is one of its name', () => {
    device('t-c');
    expect(() => withNetns(path, () => new TunDevice('t-c'))).toThrow(
      expect.objectContaining({ code: 'EBUSY' }) as SystemError,
    );
  });

  test('says when somebody deletes it', async () => {
    const tun = withNetns(path, () => new TunDevice('t-d'));
    onTestFinished(() => tun.close());
    const errors: number[] = [];
    tun.onPacket(
      () => {},
      (errno) => errors.push(errno),
    );
    rtnetlink.deleteLink(rtnetlink.link('t-d')!.ifindex);
    await eventually(() => (errors.length > 0 ? true : undefined), 'the error');
  });

  test('refuses names that are none', () => {
    expect(() => new TunDevice('')).toThrow();
    expect(() => new TunDevice('x'.repeat(16))).toThrow(
      expect.objectContaining({ code: 'ENAMETOOLONG' }) as SystemError,
    );
  });
});

describe('packets with their own header', () => {
  test('leave as they are, from whatever address they say', async () => {
    const { packets, ifindex } = device('t-e');
    rtnetlink.addAddress({ ifindex, address: '192.0.2.1', prefixLength: 24 });
    const sender = withNetns(path, () => new RawSender(4));
    onTestFinished(() => sender.close());
    // Protocol 253 (experiments), from 198.51.100.7 to 192.0.2.10; the kernel fills in the checksum.
    const packet = Uint8Array.from([
      0x45, 0, 0, 24, 0, 1, 0x40, 0, 9, 253, 0, 0, 198, 51, 100, 7, 192, 0, 2, 10, 1, 2, 3, 4,
    ]);
    expect(sender.send(packet, Uint8Array.from([192, 0, 2, 10]))).toBeUndefined();
    const came = await eventually(() => sent(packets, 10), 'the packet');
    expect([...came.subarray(12)]).toEqual([...packet.subarray(12)]);
  });

  test('are not taken without a route, and refused where they are none', () => {
    const sender = withNetns(path, () => new RawSender(6));
    const packet = new Uint8Array(40).fill(0x60, 0, 1);
    expect(sender.send(packet, new Uint8Array(16).fill(0x20, 0, 1))).toBe('ENETUNREACH');
    expect(() => sender.send(new Uint8Array(39), new Uint8Array(16))).toThrow(RangeError);
    expect(() => sender.send(packet, new Uint8Array(4))).toThrow(RangeError);
    sender.close();
    sender.close();
    expect(() => sender.send(packet, new Uint8Array(16))).toThrow('closed');
  });
});

describe('rules of ports', () => {
  test('are added, listed and taken away', () => {
    rtnetlink.addRule(RULE);
    expect(rtnetlink.rules(4)).toContainEqual({ family: 4, priority: 70, table: TABLE });
    expect(lab.ip(path, 'rule show pref 70')).toContain('iif lo sport 61000-61010 lookup 7000');
    expect(() => rtnetlink.addRule(RULE)).toThrow('EEXIST');
    rtnetlink.deleteRule(RULE);
    expect(lab.ip(path, 'rule show pref 70').trim()).toBe('');
    rtnetlink.addRule({ ...RULE, family: 6 });
    expect(rtnetlink.rules(6).some(({ priority }) => priority === 70)).toBe(true);
  });

  test('lead what this host sends from them, and nothing else', async () => {
    const { packets, ifindex } = device('t-f');
    rtnetlink.addAddress({ ifindex, address: '198.51.100.1', prefixLength: 32 });
    rtnetlink.addRoute({ dst: { address: '0.0.0.0', prefixLength: 0 }, oif: ifindex, table: TABLE });
    rtnetlink.addRule(RULE);
    onTestFinished(() => rtnetlink.deleteRule(RULE));
    const send = (port: number, to: string) =>
      `require('dgram').createSocket('udp4').bind(${port}, '198.51.100.1', function () { this.send('x', 9, '${to}', () => this.close()); })`;
    const netns = path.replace('/run/netns/', '');
    for (const [port, to] of [
      [61_005, '192.0.2.20'],
      [60_999, '192.0.2.21'],
      [61_011, '192.0.2.22'],
    ] as const) {
      run('ip', 'netns', 'exec', netns, process.execPath, '-e', send(port, to));
    }
    await eventually(() => sent(packets, 20), 'the datagram');
    expect([sent(packets, 21), sent(packets, 22)]).toEqual([undefined, undefined]);
  });

  test.each([
    ['ends with 65535', { toPort: 65_535 }],
    ['is upside down', { fromPort: 61_011 }],
    ['begins with 0', { fromPort: 0 }],
  ])('are refused where the range %s', (_, changes) => {
    expect(() => rtnetlink.addRule({ ...RULE, ...changes })).toThrow(RangeError);
  });
});
