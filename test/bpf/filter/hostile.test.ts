// What comes to the ask port: which headers are taken, and the one reason that each other is dropped for.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AffinityCommand } from '../../../control/dataplane/generated/layout.ts';
import { syn } from '../lib/filter_packets.ts';
import {
  FilterServer,
  INCARNATION,
  OWN_MAC,
  SERVER_ADDRESS,
  SERVICE,
  SITE,
  slotIn,
  VERSION,
} from '../lib/filter_server.ts';
import { type Datagram, icmp4, ipv4, payload, tcp } from '../lib/packets.ts';
import {
  QUERY_BYTES,
  QUERY_FLAG,
  QUERY_OP,
  type QueryHeader,
  queryFrame,
  queryHeader,
} from '../lib/query_frames.ts';
import { FRAME_BYTES_MIN, hex } from '../lib/rig.ts';
import { type Key, type Outer, wireFrame } from '../lib/wire_frames.ts';

const SELF = 1;
const ASKER = 2;
const WINDOW = 1024;
const OTHER_KEY: Key = [0x1122334455667788n, 0x99aabbccddeeff00n];
const HEADER_AT = 14 + 20 + 8;
const sent = syn('host');

let server: FilterServer;
beforeAll(() => {
  server = new FilterServer({ id: SELF });
});
afterAll(() => server?.close());
beforeEach(() => {
  server.clear();
  server.setDeadline(undefined);
  server.setBuckets('host', ASKER, SELF, { servers: [SELF] });
});

const outer = (more: Partial<Outer> = {}): Outer => ({
  from: SERVER_ADDRESS(ASKER),
  to: SERVER_ADDRESS(SELF),
  fromMac: OWN_MAC(ASKER),
  toMac: OWN_MAC(SELF),
  port: 7445,
  ...more,
});

const header = (more: Partial<QueryHeader> = {}): QueryHeader => ({
  operation: QUERY_OP.ask,
  flags: QUERY_FLAG.begins,
  asker: ASKER,
  sender: ASKER,
  askerIncarnation: INCARNATION(ASKER),
  pool: SITE.host.pool,
  slot: slotIn('host', sent.hash),
  time: server.ticks,
  version: VERSION,
  holders: [SELF, 3],
  ...more,
});

/** Home again, having asked server 3. */
const home = (more: Partial<QueryHeader> = {}): QueryHeader =>
  header({
    operation: QUERY_OP.home,
    asker: SELF,
    askerIncarnation: INCARNATION(SELF),
    holders: [ASKER],
    hops: 2,
    ...more,
  });

function query(
  it: QueryHeader,
  how: { outer?: Partial<Outer>; inner?: Pick<Datagram, 'bytes'>; hash?: bigint; key?: Key } = {},
) {
  const hash = how.hash ?? sent.hash;
  return queryFrame(outer(how.outer), queryHeader(it, hash, how.key), hash, how.inner ?? sent.datagram);
}

/** The reason, once, and nothing else: no table is touched. */
function dropped(frame: Uint8Array): string {
  const before = server.affinities().size;
  const { verdict, counted } = server.judge(frame);
  expect(verdict).toBe('DROP');
  expect(Object.values(counted)).toEqual([1]);
  expect(server.affinities().size).toBe(before);
  expect(server.foreign(sent.hash)).toBeUndefined();
  return Object.keys(counted)[0]!;
}

it('takes one that is right', () => {
  expect(server.judge(query(header())).counted).toEqual({ QUERY_PASSED_ON: 1, FOREIGN_REMEMBERED: 1 });
  server.clear();
  const record = server.setBuckets('host', SELF, SELF, { servers: [ASKER] });
  expect(server.judge(query(home({ record }))).counted).toEqual({ ACCEPT_NOBODY: 1, AFFINITY_RECORDED: 1 });
});

describe('drops, with a reason of its own,', () => {
  it.each([
    ['from an address of nobody', 'DROP_ASK_SOURCE', {}, { outer: { from: '192.0.2.250' } }],
    ['from another peer than says it sent it', 'DROP_ASK_SOURCE', {}, { outer: { from: SERVER_ADDRESS(3) } }],
    ['from itself', 'DROP_ASK_SOURCE', { sender: SELF }, { outer: { from: SERVER_ADDRESS(SELF) } }],
    ['from a server that is not in the table', 'DROP_ASK_SOURCE', { sender: 9 }, {}],
    ['of another cluster: by another key', 'DROP_ASK_TAG', {}, { key: OTHER_KEY }],
    ['by a key that is not there', 'DROP_ASK_TAG', { keyId: 2 }, {}],
    ['signed for another client', 'DROP_ASK_TAG', {}, { hash: sent.hash ^ 1n }],
    ['of another client', 'DROP_ASK_TAG', {}, { inner: syn('host', { client: '198.51.100.1' }).datagram }],
    ['in the format of muxes', 'DROP_ASK_FORMAT', { format: 1 }, {}],
    ['in a later format', 'DROP_ASK_FORMAT', { format: 3 }, {}],
    ['with reserved bits', 'DROP_ASK_FORMAT', { reserved: 1 }, {}],
    ['without an operation', 'DROP_ASK_FORMAT', { operation: 0 }, {}],
    ['with an unknown operation', 'DROP_ASK_FORMAT', { operation: 5 }, {}],
    ['with an unknown flag', 'DROP_ASK_FORMAT', { flags: 2 }, {}],
    ['asked by nobody', 'DROP_ASK_FORMAT', { asker: 0 }, {}],
    ['asked by a number that no server has', 'DROP_ASK_FORMAT', { asker: 1024 }, {}],
    ['sent by a number that no server has', 'DROP_ASK_FORMAT', { sender: 1024 }, {}],
    ['answered by a number that no server has', 'DROP_ASK_FORMAT', { answer: 1024 }, {}],
    ['with nine holders', 'DROP_ASK_FORMAT', { count: 9 }, {}],
    ['without a hop', 'DROP_ASK_HOPS', { hops: 0 }, {}],
    ['after ten hops', 'DROP_ASK_HOPS', { hops: 10, holders: [2, 3, 4, 2, 3, 4, 3, 1], position: 7 }, {}],
    ['that loops: more hops than holders asked', 'DROP_ASK_HOPS', { hops: 2 }, {}],
    ['beyond its holders', 'DROP_ASK_HOPS', { position: 2, hops: 3 }, {}],
    ['to no holder at all', 'DROP_ASK_HOPS', { holders: [] }, {}],
    ['for another holder', 'DROP_ASK_INCARNATION', { holders: [3, SELF] }, {}],
    ['of its own, as a holder', 'DROP_ASK_INCARNATION', { asker: SELF }, {}],
    ['of another pool', 'DROP_ASK_SLOT', { pool: 4711 }, {}],
    ['of another number of buckets', 'DROP_ASK_SLOT', { slot: 4711 }, {}],
  ] as const)('a query %s', (_, reason, more, how) => {
    expect(dropped(query(header(more as Partial<QueryHeader>), how))).toBe(reason);
  });

  it.each([
    ['another server', { asker: 3 }],
    ['another incarnation of this one', { askerIncarnation: 4711 }],
  ] as const)('a query that comes home to %s', (_, more) => {
    server.setBuckets('host', SELF, SELF, { servers: [ASKER] });
    expect(dropped(query(home(more)))).toBe('DROP_ASK_INCARNATION');
  });

  it.each([
    ['is too old', -WINDOW - 1, 'DROP_ASK_TIME'],
    ['is as old as may be', -WINDOW, undefined],
    ['is as far from the future as may be', WINDOW, undefined],
    ['is too far from the future', WINDOW + 1, 'DROP_ASK_TIME'],
  ] as const)('a query that %s', (_, by, reason) => {
    const frame = query(header({ time: server.ticks + by }));
    if (reason !== undefined) expect(dropped(frame)).toBe(reason);
    else expect(server.judge(frame).verdict).toBe('TX');
  });

  it('a query that is replayed when its time is over', () => {
    const frame = query(header());
    expect(server.judge(frame).verdict).toBe('TX');
    server.clear();
    server.nowNs += BigInt(WINDOW + 1) << 20n;
    expect(dropped(frame)).toBe('DROP_ASK_TIME');
  });

  it.each([
    [
      'for no service',
      ipv4(
        { source: '198.51.100.77', destination: '192.0.2.9' },
        tcp({ sourcePort: 40001, destinationPort: 8081 }),
      ),
    ],
    [
      'that is an echo request',
      ipv4({ source: '198.51.100.77', destination: SERVICE }, icmp4({ type: 8, data: payload(8) })),
    ],
    [
      'that is a later fragment',
      ipv4(
        { source: '198.51.100.77', destination: SERVICE, fragmentOffset: 8 },
        tcp({ sourcePort: 1, destinationPort: 2 }),
      ),
    ],
  ] as const)('a query that carries a packet %s', (_, inner) => {
    expect(dropped(query(header(), { inner }))).toBe('DROP_ASK_SERVICE');
  });

  it('a query that is longer or shorter than what it carries', () => {
    const longer = { bytes: Buffer.concat([sent.datagram.bytes, new Uint8Array(4)]) };
    const shorter = { bytes: sent.datagram.bytes.subarray(0, -2) };
    expect(dropped(query(header(), { inner: longer }))).toBe('DROP_ASK_SIZE');
    expect(dropped(query(header(), { inner: shorter }))).toBe('DROP_ASK_SIZE');
    const cut = query(header({ flags: QUERY_FLAG.begins | QUERY_FLAG.cut }), { inner: longer });
    expect(dropped(cut)).toBe('DROP_ASK_SIZE');
    expect(dropped(query(header(), { inner: { bytes: new Uint8Array(0) } }))).toBe('DROP_ASK_SIZE');
  });

  it('what is shorter than a header, and a header of muxes', () => {
    expect(dropped(wireFrame(outer(), new Uint8Array(QUERY_BYTES - 1)))).toBe('DROP_ASK_SIZE');
    expect(dropped(wireFrame(outer(), new Uint8Array(0)))).toBe('DROP_ASK_SIZE');
    expect(
      dropped(
        wireFrame(
          outer(),
          Uint8Array.from({ length: 100 }, (_, i) => (i === 0 ? 1 : 0)),
        ),
      ),
    ).toBe('DROP_ASK_FORMAT');
  });
});

it('believes no header of which one bit was changed', () => {
  const frame = query(header());
  for (let at = HEADER_AT; at < HEADER_AT + QUERY_BYTES; at++)
    for (let bit = 0; bit < 8; bit++) {
      const forged = Uint8Array.from(frame);
      forged[at]! ^= 1 << bit;
      expect(dropped(forged), `byte ${at - HEADER_AT}, bit ${bit}`).toMatch(/^DROP_ASK_/);
    }
});

it('sends on nothing that is not all there', () => {
  const frame = query(header());
  for (let length = FRAME_BYTES_MIN; length < frame.length; length++) {
    const { verdict } = server.run(frame.slice(0, length));
    expect(['PASS', 'DROP'], `${length} bytes`).toContain(verdict);
  }
  expect(server.foreign(sent.hash)).toBeUndefined();
});

it('leaves to the host what is for another address of it', () => {
  const { verdict, counted } = server.judge(query(header(), { outer: { to: '192.0.2.9' } }));
  expect({ verdict, counted }).toEqual({ verdict: 'PASS', counted: { PASS_NOT_A_SERVICE: 1 } });
});

describe('a probe', () => {
  const NUMBER = 77;
  const probe = (more: Partial<QueryHeader> = {}) =>
    wireFrame(
      outer(),
      queryHeader(
        {
          operation: QUERY_OP.probe,
          asker: ASKER,
          sender: ASKER,
          askerIncarnation: INCARNATION(ASKER),
          slot: NUMBER,
          time: server.ticks,
          version: VERSION,
          ...more,
        },
        0n,
      ),
    );
  const answer = (more: Partial<QueryHeader> = {}) =>
    probe({ operation: QUERY_OP.probeAnswer, answer: SELF, ...more });

  it('is signed for the daemon', () => {
    const { bytes } = server.command({
      command: AffinityCommand.AFFINITY_COMMAND_PROBE,
      number: NUMBER,
      flags: QUERY_FLAG.pledge,
    });
    const wanted = {
      operation: QUERY_OP.probe,
      flags: QUERY_FLAG.pledge,
      asker: SELF,
      sender: SELF,
      askerIncarnation: INCARNATION(SELF),
      slot: NUMBER,
      time: server.ticks,
      version: VERSION,
    };
    expect(hex(bytes.subarray(64, 64 + QUERY_BYTES))).toBe(hex(queryHeader(wanted, 0n)));
  });

  it.each([
    ['as it is', {}, 0],
    ['with a pledge, for none of a newer version is here', { flags: QUERY_FLAG.pledge }, QUERY_FLAG.pledge],
    ['without one, for a newer version is here', { flags: QUERY_FLAG.pledge, version: VERSION - 1 }, 0],
  ] as const)('is answered %s', (_, more, flags) => {
    const { verdict, output, counted } = server.judge(probe(more));
    expect({ verdict, counted }).toEqual({ verdict: 'TX', counted: { REPLY_PROBE: 1 } });
    const said = queryHeader(
      {
        operation: QUERY_OP.probeAnswer,
        flags,
        asker: SELF,
        sender: SELF,
        askerIncarnation: INCARNATION(SELF),
        slot: NUMBER,
        time: server.ticks,
        version: VERSION,
        answer: ASKER,
        hops: 0,
      },
      0n,
    );
    const back = outer({
      from: SERVER_ADDRESS(SELF),
      to: SERVER_ADDRESS(ASKER),
      fromMac: OWN_MAC(SELF),
      toMac: OWN_MAC(ASKER),
    });
    expect(hex(output)).toBe(hex(wireFrame(back, said)));
    expect(server.peerState(ASKER).heard_ns).toBe(server.nowNs);
  });

  it('is answered past the deadline, and says so', () => {
    server.setDeadline(-1);
    const { output } = server.judge(probe());
    expect(output[HEADER_AT + 3]).toBe(QUERY_FLAG.pastDeadline);
  });

  it('has its answer noted, and none that is older', () => {
    expect(server.judge(answer({ version: 12, flags: QUERY_FLAG.pledge })).counted).toEqual({
      NOTED_PROBE: 1,
    });
    expect(server.peerState(ASKER)).toMatchObject({
      version: 12,
      incarnation: INCARNATION(ASKER),
      echo: NUMBER,
      flags: 2,
    });
    expect(server.judge(answer({ slot: NUMBER - 1 })).counted).toEqual({ NOTED_LATE: 1 });
    expect(server.judge(answer({ slot: NUMBER + 1, answer: 3 })).counted).toEqual({
      DROP_ASK_INCARNATION: 1,
    });
  });

  it('is not believed where it carries something, is passed on, or is forged', () => {
    expect(
      server.judge(
        wireFrame(
          outer(),
          Buffer.concat([
            queryHeader({ operation: QUERY_OP.probe, asker: ASKER, sender: ASKER, time: server.ticks }, 0n),
            new Uint8Array(8),
          ]),
        ),
      ).counted,
    ).toEqual({ DROP_ASK_SIZE: 1 });
    expect(server.judge(probe({ asker: 3 })).counted).toEqual({ DROP_ASK_SOURCE: 1 });
    const forged = probe();
    forged[HEADER_AT + 20]! ^= 1;
    expect(server.judge(forged).counted).toEqual({ DROP_ASK_TAG: 1 });
  });
});
