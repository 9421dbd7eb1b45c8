// Outer headers of checks, against bytes written by hand from the RFCs; and which port asks whom.
import { describe, expect, it } from 'vitest';
import type { StoredBackend } from '../../../control/config/cluster_state.ts';
import { encapsulated, innerOf } from '../../../control/health/encapsulation_core.ts';
import { Tunnel } from '../../../control/health/tunnel.ts';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replace(/\s/g, ''), 'hex'));

/** TCP from 198.51.100.1:61000 to 203.0.113.1:80, cut after the ports and the sequence number. */
const INNER4 = hex('45000028 00004000 40060000 c6336401 cb007101 ee480050 00000001');
const INNER6 = hex(
  `60000000 0008 11 40 20010db8000000000000000000000001 20010db8000000000000000000000002 ee49 0035 0008 0000`,
);
const SOURCES = { 4: '192.0.2.1', 6: '2001:db8:1::1' };

describe('outer headers', () => {
  it.each([
    [
      'IPv4 in IPv4 (RFC 2003)',
      INNER4,
      { address: '192.0.2.9', encap: 'ip' },
      '45000030 00004000 40040000 c0000201 c0000209',
    ],
    [
      'IPv6 in IPv4 (RFC 4213)',
      INNER6,
      { address: '192.0.2.9', encap: 'ip' },
      '45000044 00004000 40290000 c0000201 c0000209',
    ],
    [
      'IPv4 in IPv6 (RFC 2473)',
      INNER4,
      { address: '2001:db8:2::9', encap: 'ip' },
      '60000000 001c 04 40 20010db8000100000000000000000001 20010db8000200000000000000000009',
    ],
    [
      'GUE variant 1 over IPv4',
      INNER4,
      { address: '192.0.2.9', encap: 'gue', guePort: 7_000 },
      '45000038 00004000 40110000 c0000201 c0000209 ee48 1b58 0024 0000',
    ],
    [
      'GUE variant 1 over IPv6, of the default port',
      INNER6,
      { address: '2001:db8:2::9', encap: 'gue' },
      '60000000 0038 11 40 20010db8000100000000000000000001 20010db8000200000000000000000009 ee49 17c0 0038 0000',
    ],
  ] as const)('are those of %s', (_, inner, backend, outer) => {
    const made = encapsulated(inner, backend, SOURCES)!;
    expect(Buffer.from(made.packet).toString('hex')).toBe(
      Buffer.from(hex(outer)).toString('hex') + Buffer.from(inner).toString('hex'),
    );
    expect(made.destination).toHaveLength(made.version === 4 ? 4 : 16);
  });

  it('are none without a source of the version', () => {
    const to6 = { address: '2001:db8:2::9', encap: 'ip' } as const;
    expect(encapsulated(INNER4, to6, { 4: '192.0.2.1' })).toBeUndefined();
  });
});

describe('an inner packet', () => {
  it('is known by its protocol and source port', () => {
    expect(innerOf(INNER4)).toEqual({ protocol: 'tcp', sourcePort: 61_000 });
    expect(innerOf(INNER6)).toEqual({ protocol: 'udp', sourcePort: 61_001 });
  });

  it('is none where it is cut, a fragment or of another protocol', () => {
    for (let bytes = 0; bytes < INNER4.length; bytes++)
      expect(innerOf(INNER4.subarray(0, bytes))).toBeUndefined();
    for (let bytes = 0; bytes < INNER6.length; bytes++)
      expect(innerOf(INNER6.subarray(0, bytes))).toBeUndefined();
    for (const [at, value] of [
      [6, 0x20],
      [7, 1],
      [9, 1],
      [0, 0x55],
      [0, 0x4f],
    ] as const) {
      const other = INNER4.slice();
      other[at] = value;
      expect(innerOf(other)).toBeUndefined();
    }
  });
});

describe('questions through the tunnel', () => {
  const backend = (name: string) =>
    ({ pool: 'web', name, address: '192.0.2.9', weight: 1, encap: 'ip' }) as StoredBackend;

  function tunnel(ports = { from: 61_000, to: 61_001 }) {
    const sent: Uint8Array[] = [];
    const troubles: string[] = [];
    let nowMs = 0;
    let error: string | undefined;
    const made = new Tunnel({
      ports,
      addresses: { 4: '198.51.100.1' },
      sources: SOURCES,
      way: () => ({
        send: (_, packet) => {
          sent.push(packet);
          return error;
        },
      }),
      nowMs: () => nowMs,
    });
    const pass = (ms: number) => {
      nowMs += ms;
    };
    const refuse = (by: string) => {
      error = by;
    };
    const open = () =>
      made.open({ backend: backend('b1') }, { address: '203.0.113.1' }, 'tcp', (it) => troubles.push(it));
    return { made, sent, troubles, pass, refuse, open };
  }

  it('have a port each, from this mux to the backend', () => {
    const { made, sent, open } = tunnel();
    expect(open()).toMatchObject({ address: '198.51.100.1', port: 61_000 });
    expect(open().port).toBe(61_001);
    made.take(INNER4);
    expect(sent).toHaveLength(1);
  });

  it('are refused without a free port, or an address of the version', () => {
    const { made, pass, open } = tunnel();
    const first = open();
    open();
    expect(open).toThrow('no port of 61000-61001 is free to ask from');
    first.close();
    expect(open).toThrow('no port');
    pass(1_000);
    expect(open().port).toBe(61_000);
    expect(() => made.open({ backend: backend('b1') }, { address: '2001:db8::1' }, 'tcp', () => {})).toThrow(
      'no tunnel',
    );
  });

  it.each([
    ['ENETUNREACH', ['network unreachable']],
    ['ENETDOWN', ['network is down']],
    ['ENOBUFS', ['ENOBUFS']],
    ['EPERM', ['EPERM']],
    // The way to the backend: of a blackhole, or a neighbour that does not answer.
    ['EINVAL', []],
    ['EHOSTUNREACH', []],
  ])('are told of %s as troubles of this host: %j', (error, expected) => {
    const { made, troubles, refuse, open } = tunnel();
    refuse(error);
    const question = open();
    made.take(INNER4);
    expect(troubles).toEqual(expected);
    question.close();
    made.take(INNER4);
    expect(troubles).toEqual(expected);
  });

  it('have the port that rested longest, once', () => {
    const { pass, open } = tunnel({ from: 61_000, to: 65_534 });
    const opened = Array.from({ length: 65_535 - 61_000 }, open);
    expect(open).toThrow('no port');
    for (const it of opened.toReversed()) {
      it.close();
      it.close();
    }
    pass(1_000);
    const again = Array.from(opened, () => open().port);
    expect(again).toEqual(opened.map(({ port }) => port).toReversed());
    expect(open).toThrow('no port');
  });

  it('end with what the kernel says last, and nobody else is told anything', () => {
    const { made, sent, open } = tunnel();
    made.take(INNER4);
    expect(sent).toHaveLength(0);
    open().close();
    made.take(INNER4);
    expect(sent).toHaveLength(1);
    // UDP of the same port is another question.
    made.take(INNER6);
    expect(sent).toHaveLength(1);
  });
});
