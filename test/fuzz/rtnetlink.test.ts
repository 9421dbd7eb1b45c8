// Whatever the bytes, the codecs give a value or a MalformedMessageError, and soon. Start points are dumps of this
// host's tables; encoded values read back as themselves.
import { execFileSync } from 'node:child_process';
import { NetlinkSocket, withNetns } from '@holdfast/linux';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  decodeAddress,
  encodeAddressAdd,
  encodeAddressesDump,
} from '../../native/linux/lib/rtnetlink/address.ts';
import { MalformedMessageError } from '../../native/linux/lib/rtnetlink/bytes.ts';
import { decodeEvent } from '../../native/linux/lib/rtnetlink/event.ts';
import { formatIp, parseIp } from '../../native/linux/lib/rtnetlink/ip.ts';
import { decodeLink, encodeLinksDump } from '../../native/linux/lib/rtnetlink/link.ts';
import { decodeCompletion, messages } from '../../native/linux/lib/rtnetlink/message.ts';
import {
  decodeNeighbour,
  encodeNeighbourAdd,
  encodeNeighboursDump,
} from '../../native/linux/lib/rtnetlink/neighbour.ts';
import { decodeRoute, encodeRouteAdd, encodeRoutesDump } from '../../native/linux/lib/rtnetlink/route.ts';

const numRuns = process.argv.includes('--long') ? 200_000 : 20_000;
const name = `hf-test-${process.pid}-fuzz`;
const dumps: Uint8Array[] = [];

beforeAll(() => {
  const ip = (command: string): void => void execFileSync('ip', ['-n', name, ...command.split(' ')]);
  execFileSync('ip', ['netns', 'add', name]);
  try {
    ip('link add name v0 type veth peer name v1');
    for (const link of ['lo', 'v0', 'v1']) ip(`link set ${link} up`);
    ip('addr add 198.18.0.1/24 dev v0');
    ip('addr add 2001:db8::1/64 dev v0');
    ip('route add 198.19.0.0/16 nexthop via 198.18.0.2 weight 3 nexthop via inet6 fe80::1 dev v0');
    ip('route add 198.19.1.0/24 via inet6 fe80::1 dev v0 mtu 1400');
    ip('route add 2001:db8:1::/48 nexthop via fe80::2 dev v0 nexthop via fe80::3 dev v0');
    ip('neigh add 198.18.0.2 lladdr 02:00:00:00:00:02 dev v0');
    using socket = withNetns(`/run/netns/${name}`, () => new NetlinkSocket());
    for (const request of [
      encodeLinksDump(),
      encodeAddressesDump(),
      encodeRoutesDump(4, undefined),
      encodeRoutesDump(6, undefined),
      encodeNeighboursDump({}),
    ]) {
      dumps.push(socket.request(request));
    }
  } finally {
    execFileSync('ip', ['netns', 'del', name]);
  }
});
afterAll(() => expect(dumps).toHaveLength(5));

const DECODERS = [decodeLink, decodeAddress, decodeRoute, decodeNeighbour];

/** How many values came out; undefined for a typed refusal. Any other error fails the test. */
function decodeAll(bytes: Uint8Array): number | undefined {
  let count = 0;
  try {
    for (const message of messages(bytes)) {
      decodeCompletion(message);
      if (decodeEvent(message) !== undefined) count += 1;
    }
    return count;
  } catch (error) {
    if (error instanceof MalformedMessageError) return undefined;
    throw error;
  }
}

test('dumps of a real kernel are read whole', () => {
  for (const dump of dumps) expect(decodeAll(dump)).toBeGreaterThan(0);
});

test('any truncation of them is a value or a typed error', () => {
  let refused = 0;
  for (const dump of dumps) {
    for (let length = 0; length < dump.length; length += 1) {
      if (decodeAll(dump.subarray(0, length)) === undefined) refused += 1;
      // As the datagram of a view that does not start its buffer.
      if (length % 7 === 0) decodeAll(dump.subarray(length));
    }
  }
  expect(refused).toBeGreaterThan(1000);
});

test('any mutation of them is a value or a typed error', () => {
  let refused = 0;
  const mutation = fc.tuple(fc.nat(), fc.oneof(fc.constantFrom(0, 1, 3, 4, 0x7f, 0x80, 0xff), fc.nat(255)));
  fc.assert(
    fc.property(
      fc.nat(4),
      fc.array(mutation, { minLength: 1, maxLength: 8 }),
      fc.nat(),
      (which, mutations, cut) => {
        const bytes = dumps[which]!.slice(0, cut % 4 === 0 ? cut % dumps[which]!.length : undefined);
        for (const [at, value] of mutations) if (bytes.length > 0) bytes[at % bytes.length] = value;
        if (decodeAll(bytes) === undefined) refused += 1;
      },
    ),
    { numRuns },
  );
  expect(refused).toBeGreaterThan(numRuns / 20);
});

test('any bytes are a value or a typed error to every decoder', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(3),
      fc.constantFrom(0, 2, 7, 10),
      (bytes, which, family) => {
        if (bytes.length > 0) bytes[0] = family;
        try {
          DECODERS[which]!(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedMessageError);
        }
        decodeAll(bytes);
      },
    ),
    { numRuns },
  );
});

const family = fc.constantFrom(4 as const, 6 as const);
const ipOf = (version: 4 | 6) => {
  const length = version === 4 ? 4 : 16;
  return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => formatIp(bytes, version));
};
const ifindex = fc.integer({ min: 1, max: 0x7fff_ffff });
const payload = (request: Uint8Array): Uint8Array => [...messages(request)][0]!.payload;

test('addresses are their own text again', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(4, 16),
      fc.infiniteStream(fc.oneof(fc.constant(0), fc.nat(255))),
      (length, stream) => {
        const bytes = Uint8Array.from({ length }, () => stream.next().value as number);
        expect(parseIp(formatIp(bytes, length === 4 ? 4 : 6))).toEqual(bytes);
      },
    ),
    { numRuns: numRuns / 4 },
  );
});

test('any text is an address or none', () => {
  const text = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'0123456789abcdef:.') }));
  fc.assert(
    fc.property(text, (value) => {
      const bytes = parseIp(value);
      expect(bytes === undefined || bytes.length === 4 || bytes.length === 16).toBe(true);
    }),
    { numRuns },
  );
});

test('what is written reads back', () => {
  const any = fc
    .tuple(family, ifindex, fc.nat(32), fc.nat(0xffff_ffff))
    .chain(([version, index, length, number]) =>
      fc
        .tuple(ipOf(version), ipOf(version), fc.constantFrom(4 as const, 6 as const).chain(ipOf))
        .map(([a, b, c]) => ({
          version,
          index,
          length,
          number,
          address: a,
          prefsrc: b,
          gateway: c,
        })),
    );
  fc.assert(
    fc.property(any, fc.integer({ min: 1, max: 256 }), (v, weight) => {
      const spec = { ifindex: v.index, address: v.address, prefixLength: v.length };
      expect(decodeAddress(payload(encodeAddressAdd(spec)))).toMatchObject({ ...spec, family: v.version });
      const dst = {
        address: v.length === 0 ? (v.version === 4 ? '0.0.0.0' : '::') : v.address,
        prefixLength: v.length,
      };
      const route = {
        dst,
        gateway: v.gateway,
        oif: v.index,
        table: v.number,
        mtuBytes: v.number,
        priority: v.number,
        prefsrc: v.prefsrc,
        nextHops: [{ oif: v.index, gateway: v.gateway, weight }],
      };
      expect(decodeRoute(payload(encodeRouteAdd(route)))).toMatchObject(route);
      const neighbour = { ifindex: v.index, address: v.address, lladdr: '02:00:00:00:00:01' };
      expect(decodeNeighbour(payload(encodeNeighbourAdd(neighbour)))).toMatchObject({
        ...neighbour,
        state: 'permanent',
      });
    }),
    { numRuns: numRuns / 10 },
  );
});
