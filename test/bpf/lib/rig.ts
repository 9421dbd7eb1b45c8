// A loaded mux with the site's configuration (site.ts), and the judgement of cases: verdict, bytes, and every counter.
import { expect } from 'vitest';
import { MuxProgram } from '../../../control/dataplane/mux.ts';
import { type Case, type ServiceName, serviceName, VERDICTS, type Verdict } from './case.ts';
import {
  BACKENDS,
  KEY_BYTES,
  QUIC_POOL,
  SERVER_IDS,
  SERVICES,
  type SiteService,
  SLOTS,
  SOURCES,
  serverIdOf,
  TCP,
} from './site.ts';

export interface Run {
  readonly verdict: Verdict;
  readonly output: Uint8Array;
}

/** Something that can be run on a frame and says why it did what it did. */
export interface Judged {
  run(input: Uint8Array): Run;
  reasons(): Record<string, bigint>;
  traffic?(): Traffic;
}

export interface Traffic {
  readonly services: Map<ServiceName, Count>;
  readonly backends: Map<number, Count>;
}

interface Count {
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly newFlows: bigint;
}

/** The smallest frame that a test run takes. */
export const FRAME_BYTES_MIN = 14;

export interface RigOptions {
  hashKey?: Uint8Array;
  capture?: boolean;
  objectPath?: string;
}

type Loaded = { testRun(options: { data: Uint8Array }): { retval: number; dataOut?: Uint8Array } };

export function runOn(program: Loaded, input: Uint8Array): Run {
  const { retval, dataOut } = program.testRun({ data: input });
  return { verdict: VERDICTS[retval]!, output: dataOut! };
}

/** A mux without configuration. */
export function loadMux(options: RigOptions = {}): MuxProgram {
  // The mutation run points this at a changed program.
  const objectPath = options.objectPath ?? process.env.HOLDFAST_TEST_MUX;
  return MuxProgram.load({
    hashKey: options.hashKey ?? KEY_BYTES,
    tunnelSource4: { address: SOURCES.address4, prefixLength: SOURCES.prefixLength4 },
    tunnelSource6: { address: SOURCES.address6, prefixLength: SOURCES.prefixLength6 },
    slotCapacity: 1 << 18,
    ...(options.capture === undefined ? {} : { capture: options.capture }),
    ...(objectPath === undefined ? {} : { objectPath }),
  });
}

export function configOf(it: SiteService): Parameters<MuxProgram['setService']>[0] {
  const { address, port, protocol, slotBase, slotCount, pool, affinity, ignoreSourcePort, quic } = it;
  return {
    address,
    ...(protocol === 0 ? {} : { protocol: protocol === TCP ? ('tcp' as const) : ('udp' as const), port }),
    slotBase,
    slotCount,
    ...(pool === undefined ? {} : { pool }),
    ...(affinity === undefined ? {} : { affinity }),
    ...(ignoreSourcePort === undefined ? {} : { ignoreSourcePort }),
    ...(quic === undefined ? {} : { quic }),
  };
}

export class Rig implements Judged {
  readonly mux: MuxProgram;

  private constructor(mux: MuxProgram) {
    this.mux = mux;
  }

  static async load(options: RigOptions = {}): Promise<Rig> {
    const mux = loadMux(options);
    for (const [index, backend] of BACKENDS) await mux.setBackend(index, backend);
    for (const [base, backends] of SLOTS) mux.setSlots(base, backends);
    for (const service of SERVICES) await mux.setService(configOf(service));
    for (const bytes of [1, 2, 3, 4])
      for (const { id, backend } of SERVER_IDS)
        mux.setServerId(QUIC_POOL(bytes), serverIdOf(id, bytes), backend);
    return new Rig(mux);
  }

  run(input: Uint8Array): Run {
    return runOn(this.mux.program, input);
  }

  reasons(): Record<string, bigint> {
    return this.mux.counters().reasons;
  }

  traffic(): Traffic {
    return trafficOf(this.mux);
  }

  close(): void {
    this.mux.close();
  }
}

export function trafficOf(mux: MuxProgram): Traffic {
  const { services, backends } = mux.counters();
  const protocols = { tcp: 6, udp: 17 } as const;
  return {
    services: new Map(
      services.map(({ key, ...count }) => [
        serviceName({
          address: key.address,
          port: key.port ?? 0,
          protocol: key.protocol === undefined ? 0 : protocols[key.protocol],
        }),
        count,
      ]),
    ),
    backends: new Map(backends.map(({ index, ...count }) => [index, count])),
  };
}

/** What moved, by name, with zero left out. */
export function moved(before: Record<string, bigint>, after: Record<string, bigint>): Record<string, number> {
  const changes = Object.keys(after).map((name): [string, number] => [
    name,
    Number(after[name]! - before[name]!),
  ]);
  return Object.fromEntries(changes.filter(([, by]) => by !== 0));
}

function movedCounts<K extends PropertyKey>(
  before: Map<K, Count>,
  after: Map<K, Count>,
): Record<string, number[]> {
  const out: Record<string, number[]> = {};
  for (const [name, now] of after) {
    const then = before.get(name) ?? { packets: 0n, bytes: 0n, newFlows: 0n };
    const by = [now.packets - then.packets, now.bytes - then.bytes, now.newFlows - then.newFlows].map(Number);
    if (by.some((it) => it !== 0)) out[String(name)] = by;
  }
  return out;
}

export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('hex')
    .replace(/(.{32})/g, '$1\n');

/** Runs a case and holds everything that follows against it. */
export function judge(rig: Judged, row: Case): void {
  for (const frame of row.before ?? []) rig.run(frame);
  const reasons = rig.reasons();
  const traffic = rig.traffic?.();
  const { verdict, output } = rig.run(row.input);
  const found = { verdict, reasons: moved(reasons, rig.reasons()) };
  expect(found, row.name).toEqual({ verdict: row.verdict, reasons: { [row.reason]: 1 } });
  if (row.output !== undefined) expect(hex(output), `${row.name}: frame`).toBe(hex(row.output));
  if (traffic === undefined) return;
  const after = rig.traffic!();
  const { service, backend, bytes, newFlow } = row.counted ?? {
    service: '',
    backend: 0,
    bytes: 0,
    newFlow: false,
  };
  const count = [1, bytes, newFlow ? 1 : 0];
  expect(movedCounts(traffic.services, after.services), `${row.name}: services`).toEqual(
    row.counted ? { [service]: count } : {},
  );
  expect(movedCounts(traffic.backends, after.backends), `${row.name}: backends`).toEqual(
    row.counted ? { [backend]: count } : {},
  );
}

/** The verdict that the first word of a reason stands for. */
const VERDICT_OF_KIND: Readonly<Record<string, Verdict>> = {
  PASS: 'PASS',
  DECAP: 'PASS',
  DROP: 'DROP',
  REPLY: 'TX',
};

/** What reasons say happened: how often which verdict. */
export function verdictsOf(
  change: Record<string, number>,
  forward: Verdict,
): Partial<Record<Verdict, number>> {
  const out: Partial<Record<Verdict, number>> = {};
  for (const [reason, by] of Object.entries(change)) {
    const verdict = VERDICT_OF_KIND[reason.split('_')[0]!] ?? forward;
    out[verdict] = (out[verdict] ?? 0) + by;
  }
  return out;
}

/** Up to here counters are read after every run; reading them costs more than the runs. */
const EVERY_RUN_BYTES = 100;
const RUNS_AT_ONCE = 32;

/** Cuts a case's frame at every length: nothing incomplete may go anywhere but to the host as it is. */
export function judgeCuts(rig: Judged, row: Case): number {
  for (const frame of row.before ?? []) rig.run(frame);
  let runs = 0;
  let before = rig.reasons();
  let tally: Partial<Record<Verdict, number>> = {};
  for (let length = FRAME_BYTES_MIN; length < row.input.length; length++) {
    const input = row.input.slice(0, length);
    const { verdict, output } = rig.run(input);
    const at = `${row.name}, cut to ${length} of ${row.input.length} (packet ends at ${row.end})`;
    runs++;
    tally[verdict] = (tally[verdict] ?? 0) + 1;
    // Plain comparisons first: an assertion costs more than a run of the program.
    // Unwrapping makes it shorter.
    if (verdict === 'PASS' && output.length >= length && Buffer.compare(input, output) !== 0)
      expect.fail(`${at}: passed, but changed`);
    if (verdict !== 'PASS' && verdict !== 'DROP' && length < row.end)
      expect.fail(`${at}: ${verdict} of what is not all there`);
    if (length > EVERY_RUN_BYTES && runs % RUNS_AT_ONCE !== 0 && length !== row.input.length - 1) continue;
    const after = rig.reasons();
    const change = moved(before, after);
    const claimed = verdictsOf(change, row.verdict);
    if (
      Object.keys(claimed).length !== Object.keys(tally).length ||
      Object.keys(tally).some((it) => claimed[it as Verdict] !== tally[it as Verdict])
    )
      expect.fail(`${at}: ${JSON.stringify(tally)}, but counted ${JSON.stringify(change)}`);
    if (row.reason === 'DECAP' && 'DECAP' in change && length < row.end)
      expect.fail(`${at}: unwrapped what is not all there`);
    before = after;
    tally = {};
  }
  return runs;
}
