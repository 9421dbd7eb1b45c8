// Plants faults, one a test, and sees the simulation find each: rules that cannot be broken would prove nothing.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { hashKeyFromSecret } from '../../control/dataplane/hash.ts';
import type { ViolationKind } from './lib/judgement.ts';
import { HostPrograms, type Loaded } from './lib/nodes.ts';
import { quietScenarioOf, type Scenario } from './lib/scenario.ts';
import { shrink } from './lib/shrink.ts';
import { type Result, type SimulationOptions, simulate, type Tamper } from './lib/simulation.ts';
import { HOSTS, hopTo, MTU_BYTES, MUX_SOURCES } from './lib/site.ts';
import { flowOfAction } from './lib/traffic.ts';

const SEED = 3;
let hosts: HostPrograms;

beforeAll(async () => {
  hosts = await HostPrograms.load();
});
afterAll(() => hosts?.close());

const run = (
  tamper: Tamper,
  scenario: Scenario = quietScenarioOf(SEED),
  programs: readonly Loaded[] = hosts.decaps,
) => simulate(scenario, programs, { tamper });

function kindsOf({ violations }: Result): Set<ViolationKind> {
  return new Set(violations.map(({ kind }) => kind));
}

/** The first connection of the quiet history. */
const FIRST = quietScenarioOf(SEED).actions.find((it) => it.kind === 'flow' && it.protocol === 'tcp')!;

it('finds nothing where nothing was planted', async () => {
  const result = await run({});
  expect(result.violations).toEqual([]);
  expect(result.summary.tolerated).toEqual({});
});

it('finds a mux with another hash key', async () => {
  const other = hashKeyFromSecret(new Uint8Array(32).fill(1));
  const found = await run({ hashKey: () => other });
  expect(kindsOf(found)).toContain('backend');
});

it('finds two muxes that disagree, without knowing which is right', async () => {
  const other = hashKeyFromSecret(new Uint8Array(32).fill(1));
  const quiet = quietScenarioOf(SEED);
  // Half way the router hashes anew, so that flows come to both.
  const actions = [...quiet.actions, ...[1, 2, 3, 4].map((salt) => reshuffle(salt))].sort(
    (a, b) => a.atNs - b.atNs,
  );
  const options: SimulationOptions = {
    tamper: { hashKey: (mux) => (mux === 0 ? other : undefined) },
    tolerance: { backend: 'counted', misdirected: 'counted', moved: 'counted' },
  };
  const found = await simulate({ ...quiet, actions }, hosts.decaps, options);
  expect(kindsOf(found)).toEqual(new Set(['disagreement']));
});

function reshuffle(salt: number): Scenario['actions'][number] {
  return { kind: 'reshuffle', atNs: salt * 1e9, salt };
}

it('finds one slot that was written wrong, and shows it in the shortest history there is', async () => {
  const { slot } = flowOfAction(FIRST as Extract<typeof FIRST, { kind: 'flow' }>);
  const tamper: Tamper = {
    applied: async (mux) => {
      const right = mux.slotAt(slot);
      const wrong = [1, 2].find((index) => index !== right)!;
      await mux.program.setSlots(slot, Uint16Array.of(wrong));
    },
  };
  const found = await run(tamper);
  expect(kindsOf(found)).toEqual(new Set(['backend']));
  const shortest = await shrink(found, (scenario) => run(tamper, scenario));
  expect(kindsOf(shortest)).toEqual(new Set(['backend']));
  expect(shortest.scenario.actions).toHaveLength(1);
});

it('finds a backend with the address of another', async () => {
  const tamper: Tamper = {
    applied: async (mux) => {
      for (const index of [1, 2]) {
        const { address, encap } = HOSTS[5];
        await mux.program.setBackend(index, { address, encap, mtuBytes: MTU_BYTES, nextHop: hopTo(5) });
      }
    },
  };
  expect(kindsOf(await run(tamper))).toContain('backend');
});

it('finds a frame that goes to the wrong next hop', async () => {
  const tunnelled = (frame: Uint8Array): Uint8Array => frame.with(5, frame[5]! ^ 0x40);
  expect(kindsOf(await run({ tunnelled }))).toEqual(new Set(['payload']));
});

it('finds a byte that changed on the way', async () => {
  const tunnelled = (frame: Uint8Array, { id }: { id: string }): Uint8Array =>
    id.includes('data 1.1') ? frame.with(frame.length - 1, frame.at(-1)! ^ 1) : frame;
  expect(kindsOf(await run({ tunnelled }))).toEqual(new Set(['payload']));
});

it('finds a packet that nobody accounts for', async () => {
  let swallowed = false;
  const tunnelled = (frame: Uint8Array): Uint8Array | undefined => {
    if (swallowed) return frame;
    swallowed = true;
    return undefined;
  };
  expect(kindsOf(await run({ tunnelled }))).toEqual(new Set(['lost']));
});

it('finds hosts that do not know the muxes', async () => {
  await hosts.takeFrom([]);
  try {
    const found = await run({});
    expect(kindsOf(found)).toEqual(new Set(['reason']));
    expect(found.violations[0]!.message).toContain('left for DROP_FOREIGN_TUNNEL, and must for DECAP');
  } finally {
    await hosts.takeFrom(MUX_SOURCES);
  }
});

it('finds programs that abort, do not count, or do not do what they count', async () => {
  const program = (retval: number, counted: Record<string, bigint>): Loaded => {
    let runs = 0n;
    return {
      program: {
        testRun: ({ data }) => {
          runs++;
          return { retval, dataOut: data };
        },
      },
      counters: () => ({
        reasons: Object.fromEntries(Object.entries(counted).map(([name, count]) => [name, count * runs])),
      }),
    };
  };
  const [ABORTED, DROP] = [0, 1];
  const found = async (one: Loaded) =>
    kindsOf(
      await run(
        {},
        quietScenarioOf(SEED),
        HOSTS.map(() => one),
      ),
    );
  expect(await found(program(ABORTED, { DROP_INTERNAL: 1n }))).toContain('aborted');
  expect(await found(program(DROP, { DROP_INTERNAL: 0n }))).toEqual(new Set(['accounting']));
  expect(await found(program(DROP, { DROP_INTERNAL: 1n, DECAP: 1n }))).toEqual(new Set(['accounting']));
  expect(await found(program(DROP, { DECAP: 2n }))).toEqual(new Set(['accounting']));
  expect(await found(program(DROP, { DECAP: 1n }))).toContain('accounting');
});
