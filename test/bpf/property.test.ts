// Random packets against the model, and random bytes against the rules that hold for every packet.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Case, drops, ends, flowOf, forwards, passes, segment } from './lib/case.ts';
import { CORPUS } from './lib/corpus.ts';
import {
  authentication,
  be,
  concat,
  type Datagram,
  destinationOptions,
  fragmentHeader,
  frame,
  hopByHop,
  ipv4,
  ipv6,
  payload,
  routing,
} from './lib/packets.ts';
import { judge, moved, Rig, verdictsOf } from './lib/rig.ts';
import {
  ANY4,
  ANY6,
  BACKENDS,
  decide,
  hostAddress,
  isServiceAddress,
  NARROW_TAGGED,
  PORT,
  STICKY4,
  STICKY6,
  serviceAddress,
  TCP,
  UDP,
} from './lib/site.ts';

const LONG = process.env.HOLDFAST_LONG === '1';
const RUNS = LONG ? 200_000 : 2_500;
const MUTATIONS = LONG ? 300_000 : 12_000;

const version = fc.constantFrom(4 as const, 6 as const);
const tags = fc.array(fc.record({ tpid: fc.constantFrom(0x8100, 0x88a8), tci: fc.nat(0xffff) }), {
  maxLength: 2,
});
const knownPorts = [
  ...Array.from({ length: NARROW_TAGGED }, (_, i) => PORT.of(i + 1)),
  PORT.pool,
  PORT.byAddress,
  PORT.bySubnet,
  PORT.noSourcePort,
];
const port = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...knownPorts) },
  { weight: 1, arbitrary: fc.nat(0xffff) },
);

const packets = fc.record({
  version,
  protocol: fc.constantFrom(TCP, UDP),
  port,
  clientPort: fc.nat(0xffff),
  client: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  target: fc.constantFrom('service', 'service', 'any', 'sticky', 'host'),
  tags,
  trafficClass: fc.nat(255),
  ttl: fc.nat(255),
  flags: fc.nat(255),
  bytes: fc.nat(300),
  padding: fc.oneof(fc.constant(0), fc.nat(40)),
  optionWords: fc.oneof(fc.constant(0), fc.nat(10)),
  extensions: fc.array(
    fc.oneof(
      fc.integer({ min: 1, max: 4 }).map(hopByHop),
      fc.integer({ min: 1, max: 4 }).map(destinationOptions),
      fc.integer({ min: 1, max: 4 }).map(routing),
      fc.integer({ min: 3, max: 10 }).map((words) => authentication(words * 4)),
      fc.nat(0xffff).map((identification) => fragmentHeader({ identification })),
    ),
    { maxLength: 8 },
  ),
});
type Random = typeof packets extends fc.Arbitrary<infer T> ? T : never;

function text(bytes: Uint8Array, ipVersion: 4 | 6): string {
  if (ipVersion === 4) return bytes.subarray(0, 4).join('.');
  return Array.from({ length: 8 }, (_, i) => (bytes[i * 2]! * 256 + bytes[i * 2 + 1]!).toString(16)).join(
    ':',
  );
}

const TARGETS: Readonly<Record<string, (v: 4 | 6) => string>> = {
  service: serviceAddress,
  any: (v) => (v === 4 ? ANY4 : ANY6),
  sticky: (v) => (v === 4 ? STICKY4 : STICKY6),
  host: hostAddress,
};

/** The row that the model makes of a random packet. */
function rowOf(it: Random): Case {
  const destination = TARGETS[it.target]!(it.version);
  const flow = flowOf({
    version: it.version,
    protocol: it.protocol,
    port: it.port,
    clientPort: it.clientPort,
    source: text(it.client, it.version),
    destination,
  });
  const layer = segment(flow, payload(it.bytes), { flags: it.flags });
  const fields = { ...ends(flow), trafficClass: it.trafficClass, ttl: it.ttl };
  const packet: Datagram =
    it.version === 4
      ? ipv4({ ...fields, options: new Uint8Array(it.optionWords * 4).fill(1) }, layer)
      : ipv6({ ...fields, extensions: it.extensions }, layer);
  const shape = { name: 'random', link: { tags: it.tags }, padding: payload(it.padding) };
  const decision = decide(flow);
  if (decision === undefined)
    return passes(shape, packet, isServiceAddress(destination) ? 'PASS_NO_SUCH_PORT' : 'PASS_NOT_A_SERVICE');
  if (decision.backend === 0 || !BACKENDS.has(decision.backend))
    return drops(shape, packet, 'DROP_NO_BACKEND');
  const newFlow = it.protocol === TCP && (it.flags & 0x12) === 0x02;
  return forwards({ ...shape, flow, trafficClass: it.trafficClass, newFlow }, packet);
}

/** Changes of a frame: bytes overwritten, inserted, removed, the end cut or grown. */
const edits = fc.array(
  fc.record({
    kind: fc.constantFrom('set', 'set', 'set', 'bit', 'insert', 'remove', 'cut', 'grow'),
    at: fc.nat(0xffff),
    value: fc.nat(255),
    early: fc.boolean(),
  }),
  { minLength: 1, maxLength: 5 },
);
type Edit = typeof edits extends fc.Arbitrary<(infer T)[]> ? T : never;

function edited(input: Uint8Array, list: readonly Edit[]): Uint8Array {
  let out = Uint8Array.from(input);
  for (const { kind, at, value, early } of list) {
    // The headers are where it matters.
    const place = at % Math.max(1, early ? Math.min(out.length, 110) : out.length);
    if (kind === 'set') out[place] = value;
    else if (kind === 'bit') out[place]! ^= 1 << (value & 7);
    else if (kind === 'insert')
      out = concat(out.slice(0, place), be(value, 1), out.slice(place)) as typeof out;
    else if (kind === 'remove')
      out = concat(out.slice(0, place), out.slice(place + 1 + (value & 7))) as typeof out;
    else if (kind === 'cut') out = out.slice(0, place);
    else out = concat(out, payload(value)) as typeof out;
  }
  return out.length >= 14 ? out : concat(out, new Uint8Array(14 - out.length));
}

/** Has a test of its own below. */
const isOddlyVersioned = (data: Uint8Array): boolean =>
  data[12] === 0x86 && data[13] === 0xdd && data[14]! >> 4 !== 6;

describe('any packet', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.load();
    rig.mux.startCapture({ reasons: Object.keys(rig.reasons()) as never[] });
  });
  afterAll(() => rig?.close());

  it('goes where the model says, if it is whole TCP or UDP', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(packets, (it) => {
        const row = rowOf(it);
        seen.add(row.reason);
        judge(rig, row);
      }),
      { numRuns: RUNS, seed: 20261122 },
    );
    expect([...seen].sort()).toEqual([
      'DROP_NO_BACKEND',
      'FORWARD',
      'PASS_NOT_A_SERVICE',
      'PASS_NO_SUCH_PORT',
    ]);
  });

  it('is judged once, never aborted, never passed changed; and alike by the program that captures', () => {
    const { program, capturingProgram } = rig.mux;
    const runs = { plain: 0, captured: 0 };
    let before = rig.reasons();
    const change = (): Record<string, number> => {
      const after = rig.reasons();
      const by = moved(before, after);
      before = after;
      return by;
    };
    fc.assert(
      fc.property(fc.nat(CORPUS.length - 1), edits, (at, list) => {
        const data = edited(CORPUS[at]!, list);
        const show = Buffer.from(data).toString('hex');
        // Left by a run that failed, while fast-check looks for a smaller one.
        rig.mux.drainCapture();
        before = rig.reasons();
        const result = program.testRun({ data });
        const reasons = change();
        const verdict = (['ABORTED', 'DROP', 'PASS', 'TX', 'REDIRECT'] as const)[result.retval]!;
        const forward = verdict === 'REDIRECT' ? 'REDIRECT' : 'TX';
        if (JSON.stringify(verdictsOf(reasons, forward)) !== JSON.stringify({ [verdict]: 1 }))
          expect.fail(`${verdict}, but counted ${JSON.stringify(reasons)}: ${show}`);
        if (verdict === 'PASS' && Buffer.compare(data, result.dataOut!) !== 0)
          expect.fail(`passed, but changed: ${show}`);
        runs.plain++;

        const copied = capturingProgram!.testRun({ data });
        const again = change();
        if (
          copied.retval !== result.retval ||
          (verdict !== 'DROP' && Buffer.compare(copied.dataOut!, result.dataOut!) !== 0)
        )
          expect.fail(
            `the capturing program did something else (${copied.retval}, not ${result.retval}): ${show}`,
          );
        if (!isOddlyVersioned(data) && JSON.stringify(again) !== JSON.stringify(reasons))
          expect.fail(`${JSON.stringify(reasons)}, but ${JSON.stringify(again)} when captured: ${show}`);
        const records = rig.mux.drainCapture();
        const [record] = records;
        if (records.length !== 1 || record!.reason !== Object.keys(again)[0])
          expect.fail(`${records.length} records: ${show}`);
        if (record!.length !== copied.dataOut!.length)
          expect.fail(`a record of ${record!.length} bytes: ${show}`);
        if (Buffer.compare(record!.bytes, copied.dataOut!.subarray(0, 1984)) !== 0)
          expect.fail(`other bytes captured: ${show}`);
        runs.captured++;
      }),
      { numRuns: MUTATIONS, seed: 20261122 },
    );
    expect(runs.captured).toBe(runs.plain);
  }, 600_000);

  it('has the same reason with and without capture, if it is IPv6 of another version to another address', () => {
    const flow = flowOf({ version: 6, protocol: TCP, port: 443, destination: hostAddress(6) });
    const data = frame(ipv6({ ...ends(flow), versionField: 5 }, segment(flow, payload(40))));
    const reasonOf = (program: typeof rig.mux.program): string[] => {
      const before = rig.reasons();
      program.testRun({ data });
      return Object.keys(moved(before, rig.reasons()));
    };
    expect(reasonOf(rig.mux.program)).toEqual(reasonOf(rig.mux.capturingProgram!));
  });
});
