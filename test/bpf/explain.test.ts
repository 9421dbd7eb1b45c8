// What explain says of a packet is what the program does with it; and asking changes nothing.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REASON_LIST } from '../../control/dataplane/counters.ts';
import { DecapProgram } from '../../control/dataplane/decap.ts';
import { frameOf } from '../../control/dataplane/frame.ts';
import { REASON_MEANINGS, verdictOf } from '../../control/dataplane/reasons.ts';
import { DECAP, MUX_PREFIXES } from './cases/decap.ts';
import { FORWARD } from './cases/forward.ts';
import { FRAGMENT } from './cases/fragment.ts';
import { ICMP } from './cases/icmp.ts';
import { MALFORMED } from './cases/malformed.ts';
import { QUIC } from './cases/quic.ts';
import { SERVICE } from './cases/service.ts';
import { TOO_BIG } from './cases/too_big.ts';
import type { Case } from './lib/case.ts';
import * as packets from './lib/packets.ts';
import { internetChecksum, TCP_FLAG, tcp } from './lib/packets.ts';
import { hex, Rig, trafficOf } from './lib/rig.ts';
import { PLAIN, PORT, SERVICE4, SERVICE6 } from './lib/site.ts';

const TABLES = { FORWARD, FRAGMENT, ICMP, MALFORMED, QUIC, SERVICE, TOO_BIG };

const rowsOf = (tables: Readonly<Record<string, readonly Case[]>>): [string, Case][] =>
  Object.entries(tables).flatMap(([table, rows]) =>
    rows.map((row): [string, Case] => [`${table}: ${row.name}`, row]),
  );

describe('explain', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.load();
  });
  afterAll(() => rig?.close());

  it.each(Object.entries(TABLES))('says what the program does: %s', (_, tables) => {
    for (const [name, row] of rowsOf(tables)) {
      for (const frame of row.before ?? []) rig.run(frame);
      const before = { reasons: rig.reasons(), traffic: trafficOf(rig.mux) };
      const found = rig.mux.explain(row.input);
      expect({ reasons: rig.reasons(), traffic: trafficOf(rig.mux) }, name).toEqual(before);
      expect(found.reason, name).toBe(row.reason);
      expect(found.verdict, name).toBe(verdictOf(found.reason));
      if (found.verdict === 'DROP') expect(found.frame, name).toBeUndefined();
      else if (row.output !== undefined) expect(hex(found.frame!), name).toBe(hex(row.output));
      if (row.counted === undefined) continue;
      if (row.reason === 'FORWARD_QUIC') expect(found.rule, name).toBe('server id');
      if (row.reason === 'FORWARD_ICMP_ERROR') expect(found.rule, name).toBe('icmp quote');
      expect(found.backend, name).toBe(row.counted.backend);
      const { address, protocol, port } = found.service!;
      const named = protocol === undefined ? address : `${address} ${port} ${protocol === 'tcp' ? 6 : 17}`;
      expect(named, name).toBe(row.counted.service);
      if (found.slotWord !== undefined) expect(Number(found.slotWord & 0xffffn), name).toBe(found.backend);
    }
  });

  it('follows the first fragments that were forwarded, and remembers none itself', () => {
    const [, row] = rowsOf(FRAGMENT).find(([, it]) => it.reason === 'FORWARD_FIRST_FRAGMENT')!;
    const later = rowsOf(FRAGMENT).find(([, it]) => it.reason === 'FORWARD_LATER_FRAGMENT')![1];
    expect(rig.mux.explain(row.input).reason).toBe('FORWARD_FIRST_FRAGMENT');
    const { frame, ipv4, payload, raw } = packets;
    const ends = { source: '198.51.100.99', destination: SERVICE4, identification: 4711 };
    const ports = Uint8Array.of(0x9c, 0x40, PORT.of(PLAIN.v4) >> 8, PORT.of(PLAIN.v4) & 0xff, ...payload(60));
    const first = frame(ipv4({ ...ends, moreFragments: true }, raw(6, ports)));
    const second = frame(ipv4({ ...ends, fragmentOffset: 64 }, raw(6, payload(24))));
    expect(rig.mux.explain(first).reason).toBe('FORWARD_FIRST_FRAGMENT');
    expect(rig.mux.explain(second).reason).toBe('DROP_FRAGMENT_UNKNOWN');
    rig.run(first);
    expect(rig.mux.explain(second).reason).toBe('FORWARD_LATER_FRAGMENT');
    for (const before of later.before ?? []) rig.run(before);
    expect(rig.mux.explain(later.input)).toMatchObject({ rule: 'first fragment', verdict: 'FORWARD' });
  });

  it('names the rule, the flow key and the slot', () => {
    const flow = { protocol: 'tcp', source: '198.51.100.7', destination: SERVICE4 } as const;
    const plain = rig.mux.explain(frameOf({ ...flow, destinationPort: PORT.of(PLAIN.v4) }));
    expect(plain).toMatchObject({
      verdict: 'FORWARD',
      service: { address: SERVICE4, protocol: 'tcp', port: PORT.of(PLAIN.v4) },
      rule: 'port',
      flowKey: '5-tuple',
      backend: PLAIN.v4,
      meaning: REASON_MEANINGS.FORWARD,
    });
    expect(plain.slot).toBeGreaterThanOrEqual(0);
    expect(plain.slot).toBeLessThan(4);
    expect(plain.backendConfig).toMatchObject({ encap: 'ip' });
    const echo = rig.mux.explain(frameOf({ ...flow, protocol: 'icmp' }));
    expect(echo).toMatchObject({ reason: 'REPLY_ECHO', rule: 'address', service: { address: SERVICE4 } });
    expect(echo.backend).toBeUndefined();
    const stranger = rig.mux.explain(frameOf({ ...flow, destination: '192.0.2.250', destinationPort: 80 }));
    expect(stranger).toEqual({
      verdict: 'PASS',
      reason: 'PASS_NOT_A_SERVICE',
      meaning: REASON_MEANINGS.PASS_NOT_A_SERVICE,
      frame: expect.any(Uint8Array),
    });
    const noPort = rig.mux.explain(frameOf({ ...flow, destinationPort: 999 }));
    expect(noPort).toMatchObject({ reason: 'PASS_NO_SUCH_PORT', rule: 'address' });
  });

  it('refuses what is no frame', () => {
    expect(() => rig.mux.explain(new Uint8Array(13))).toThrow(/14 to 3300 bytes/);
    expect(() => rig.mux.explain(new Uint8Array(3301))).toThrow(/14 to 3300 bytes/);
    expect(rig.mux.explain(new Uint8Array(3300)).reason).toBe('PASS_NOT_IP');
    expect(rig.mux.explain(new Uint8Array(14)).reason).toBe('PASS_NOT_IP');
  });

  it('takes the interface that the packet comes in by, or none that the kernel would refuse', () => {
    const frame = frameOf({
      protocol: 'udp',
      source: '198.51.100.7',
      destination: SERVICE4,
      destinationPort: PORT.of(PLAIN.v4),
    });
    expect(rig.mux.explain(frame, { ifindex: 1 }).verdict).toBe('FORWARD');
    expect(() => rig.mux.explain(frame, { ifindex: 999_999 })).toThrow(/no interface/);
  });

  it('explains the other end of the tunnel', async () => {
    const decap = DecapProgram.load();
    try {
      await decap.apply({ muxSources: MUX_PREFIXES, serviceAddresses: [SERVICE4, SERVICE6] });
      for (const [name, row] of rowsOf(DECAP)) {
        const before = decap.counters();
        const found = decap.explain(row.input);
        expect(decap.counters(), name).toEqual(before);
        expect(found.reason, name).toBe(row.reason);
        if (row.output !== undefined) expect(hex(found.frame!), name).toBe(hex(row.output));
        const isForService = row.reason === 'DECAP' || row.reason === 'DROP_FOREIGN_TUNNEL';
        if (isForService) expect([SERVICE4, SERVICE6], name).toContain(found.service?.address);
      }
    } finally {
      decap.close();
    }
  });

  it('has a meaning for every reason', () => {
    for (const reason of REASON_LIST) expect(REASON_MEANINGS[reason]).toMatch(/^[A-Z].*[.]$/);
    expect(REASON_LIST.map(verdictOf)).toEqual(REASON_LIST.map((it) => it.split('_')[0]));
  });
});

describe('the frame of a flow', () => {
  const flow4 = { source: '198.51.100.7', sourcePort: 1234, destination: '203.0.113.9', destinationPort: 80 };
  const flow6 = { ...flow4, source: '2001:db8::7', destination: '2001:db8:1::9' };

  it.each([
    ['tcp', flow4],
    ['udp', flow4],
    ['icmp', flow4],
    ['tcp', flow6],
    ['udp', flow6],
    ['icmp', flow6],
  ] as const)('of %s %j has right lengths and checksums', (protocol, flow) => {
    for (const lengthBytes of [undefined, 77, 1280]) {
      const frame = frameOf({ ...flow, protocol, ...(lengthBytes && { lengthBytes }) });
      const is4 = flow === flow4;
      const ip = frame.subarray(14);
      const header = is4 ? 20 : 40;
      const transport = ip.subarray(header);
      const view = new DataView(ip.buffer, ip.byteOffset, ip.byteLength);
      expect(is4 ? view.getUint16(2) : view.getUint16(4) + 40).toBe(ip.length);
      if (lengthBytes !== undefined) expect(ip.length).toBe(lengthBytes);
      if (is4) expect(internetChecksum(ip.subarray(0, 20))).toBe(0);
      const number = is4 ? ip[9]! : ip[6]!;
      const addresses = is4 ? ip.subarray(12, 20) : ip.subarray(8, 40);
      const length = transport.length;
      const pseudo = protocol === 'icmp' && is4 ? [] : [...addresses, 0, number, length >> 8, length & 0xff];
      expect(internetChecksum(Uint8Array.from([...pseudo, ...transport]))).toBe(0);
    }
  });

  it('is the same as a SYN built by another hand, but for its sequence number', () => {
    const { sourcePort, destinationPort } = flow4;
    const ends = { source: Uint8Array.of(198, 51, 100, 7), destination: Uint8Array.of(203, 0, 113, 9) };
    const other = tcp({ sourcePort, destinationPort, flags: TCP_FLAG.syn }).build(ends);
    const mine = frameOf({ ...flow4, protocol: 'tcp', syn: true }).subarray(34);
    expect(mine.length).toBe(other.length);
    expect([...mine.subarray(0, 4), ...mine.subarray(12, 14)]).toEqual([
      ...other.subarray(0, 4),
      ...other.subarray(12, 14),
    ]);
  });

  it('is refused where there is none', () => {
    expect(() => frameOf({ ...flow4, protocol: 'tcp', destination: '2001:db8::1' })).toThrow(
      /different IP versions/,
    );
    expect(() => frameOf({ ...flow4, protocol: 'tcp', lengthBytes: 39 })).toThrow(/40 to 65535 bytes/);
    expect(() => frameOf({ ...flow4, protocol: 'udp', source: 'me' })).toThrow(/no IP address/);
    expect(() => frameOf({ protocol: 'udp', source: '192.0.2.1', destination: '192.0.2.2' })).toThrow(
      /destination port/,
    );
  });
});
