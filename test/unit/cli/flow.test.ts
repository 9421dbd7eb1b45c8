// Flows as people write them.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Flow, parseFlow } from '../../../control/cli/flow.ts';
import { UsageError } from '../../../control/cli/usage_error.ts';
import { isAddress } from '../../../control/lib/address.ts';

const REMEDY =
  'Write tcp 192.0.2.7:4242 198.18.0.10:80, udp [2001:db8::7]:4242 [2001:db8::10]:443, or icmp 192.0.2.7 198.18.0.10';

describe('a flow', () => {
  const web: Flow = {
    protocol: 'tcp',
    source: '192.0.2.7',
    sourcePort: 4242,
    destination: '198.18.0.10',
    destinationPort: 80,
  };
  const same: readonly (readonly string[])[] = [
    ['tcp', '192.0.2.7:4242', '198.18.0.10:80'],
    ['tcp', '192.0.2.7:4242', '->', '198.18.0.10:80'],
    ['tcp', '192.0.2.7:4242', '→', '198.18.0.10:80'],
    ['tcp', '192.0.2.7:4242->198.18.0.10:80'],
    ['tcp', '192.0.2.7:4242→198.18.0.10:80'],
    ['tcp', '192.0.2.7:4242', '>', '198.18.0.10:80'],
    ['TCP 192.0.2.7:4242 -> 198.18.0.10:80'],
    ['  tcp   192.0.2.7:4242', ' 198.18.0.10:80 '],
  ];
  for (const words of same) it(`is ${JSON.stringify(words)}`, () => expect(parseFlow(words)).toEqual(web));

  it('may be IPv6, with ports behind brackets', () => {
    expect(parseFlow(['udp', '[2001:db8::7]:4242', '[2001:db8:1::10]:443'])).toEqual({
      protocol: 'udp',
      source: '2001:db8::7',
      sourcePort: 4242,
      destination: '2001:db8:1::10',
      destinationPort: 443,
    });
  });

  it('may leave the source port out', () => {
    expect(parseFlow(['tcp', '192.0.2.7', '198.18.0.10:80'])).toEqual({
      protocol: 'tcp',
      source: '192.0.2.7',
      destination: '198.18.0.10',
      destinationPort: 80,
    });
    expect(parseFlow(['tcp', '2001:db8::7', '[2001:db8::10]:80'])).not.toHaveProperty('sourcePort');
    expect(parseFlow(['tcp', '[2001:db8::7]', '[2001:db8::10]:80'])).not.toHaveProperty('sourcePort');
  });

  it('of ICMP has no ports, whichever of the two it is', () => {
    for (const word of ['icmp', 'icmp6', 'ICMPv6']) {
      expect(parseFlow([word, '2001:db8::7', '2001:db8::10'])).toEqual({
        protocol: 'icmp',
        source: '2001:db8::7',
        destination: '2001:db8::10',
      });
    }
  });

  const wrong: readonly [string, string, string?][] = [
    ['sctp 192.0.2.7:1 198.18.0.10:80', 'A flow begins with tcp, udp or icmp, not with "sctp".', REMEDY],
    [
      'constructor 192.0.2.7:1 198.18.0.10:80',
      'A flow begins with tcp, udp or icmp, not with "constructor".',
      REMEDY,
    ],
    ['192.0.2.7:1 198.18.0.10:80', 'A flow begins with tcp, udp or icmp, not with "192.0.2.7:1".', REMEDY],
    ['tcp', 'The flow has no source and destination.', REMEDY],
    ['tcp 192.0.2.7:1', 'The flow has no destination.', REMEDY],
    ['tcp 192.0.2.7:1 198.18.0.10:80 x', 'The flow ends before "x".', REMEDY],
    ['tcp 192.0.2.7:1 198.18.0.10', '198.18.0.10 has no port.', REMEDY],
    ['tcp 192.0.2.7:1 198.18.0.10:', '"" is no port.'],
    ['tcp 192.0.2.7:1 198.18.0.10:65536', '"65536" is no port.'],
    ['tcp 192.0.2.7:1 198.18.0.10:http', '"http" is no port.'],
    ['tcp 192.0.2.7:-1 198.18.0.10:80', '"-1" is no port.'],
    ['tcp 192.0.2.256:1 198.18.0.10:80', '"192.0.2.256:1" is no address with a port.', REMEDY],
    ['tcp [192.0.2.7]:1 198.18.0.10:80', '"[192.0.2.7]:1" is no address with a port.', REMEDY],
    ['tcp www.example:1 198.18.0.10:80', '"www.example:1" is no address with a port.', REMEDY],
    ['tcp 192.0.2.7:1 [2001:db8::10:80', '"[2001:db8::10:80" is no address with a port.', REMEDY],
    ['tcp 192.0.2.7:1 [2001:db8::1]:80', '192.0.2.7 and 2001:db8::1 are not of one IP version.'],
    ['icmp 192.0.2.7:1 198.18.0.10', 'ICMP has no ports.', 'Write icmp 192.0.2.7 198.18.0.10'],
  ];
  for (const [text, message, remedy] of wrong) {
    it(`is not "${text}"`, () => {
      expect(() => parseFlow([text])).toThrow(expect.objectContaining({ message, remedy }) as Error);
    });
  }
});

describe('any flow', () => {
  const port = fc.integer({ min: 0, max: 65_535 });
  const addresses = fc.oneof(
    fc.tuple(fc.ipV4(), fc.ipV4()),
    fc.tuple(fc.ipV6(), fc.ipV6()).filter((pair) => pair.every(isAddress)),
  );
  const flow = fc.tuple(fc.constantFrom('tcp' as const, 'udp' as const), addresses, fc.option(port), port);
  const arrow = fc.constantFrom(' ', ' -> ', '->', ' → ', '→', '\t>\t');
  const withPort = (address: string, of: number | null) =>
    of === null ? address : address.includes(':') ? `[${address}]:${of}` : `${address}:${of}`;

  it('is read as it was written', () => {
    fc.assert(
      fc.property(flow, arrow, ([protocol, [source, destination], sourcePort, destinationPort], between) => {
        const ends = `${withPort(source, sourcePort)}${between}${withPort(destination, destinationPort)}`;
        expect(parseFlow([`${protocol} ${ends}`])).toEqual({
          protocol,
          source,
          ...(sourcePort === null ? {} : { sourcePort }),
          destination,
          destinationPort,
        });
      }),
    );
  });

  it('is read, or refused in words: nothing else happens', () => {
    const piece = fc.oneof(
      fc.constantFrom('tcp', 'udp', 'icmp', '->', '→', ':', '[', ']', '::', '1.2.3.4', '[::1]:80', '%'),
      fc.string({ maxLength: 5 }),
      fc.ipV6(),
      port.map(String),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.constantFrom('', ' '), (pieces, between) => {
        try {
          const read = parseFlow([pieces.join(between)]);
          expect(isAddress(read.source) && isAddress(read.destination)).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });
});
