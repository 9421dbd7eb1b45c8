import { expect, it } from 'vitest';
import { EMPTY_STATE, type StoredBackend } from '../../../control/config/cluster_state.ts';
import type { BackendConfig } from '../../../control/dataplane/backend_table.ts';
import type { MuxProgram } from '../../../control/dataplane/mux.ts';
import { MuxRole } from '../../../control/node/mux_role.ts';
import type { NextHops, Path } from '../../../control/route/next_hop.ts';
import { cleanVersion } from '../cluster/support.ts';

const ADDRESSES = 1_000;
const stored: StoredBackend[] = Array.from({ length: ADDRESSES }, (_, at) => ({
  pool: 'p',
  name: `b${at}`,
  address: `198.18.${at >> 8}.${at & 0xff}`,
  weight: 1,
  encap: 'ip',
  index: at + 1,
  generation: 0,
  modRevision: 1,
}));

/** A role whose program and paths are the test's. */
async function role(setPaths: (configs: ReadonlyMap<number, BackendConfig>) => Promise<number>) {
  let change: (address: string, path: Path) => void = () => {};
  const outcomes: string[] = [];
  const told: string[] = [];
  const program = { apply: async () => {}, setPaths } as unknown as MuxProgram;
  const mux = new MuxRole({
    program,
    tunnelVersions: new Set([4]),
    nextHops: (onChange) => {
      change = onChange;
      return { follow() {}, forget() {}, path: () => undefined } as unknown as NextHops;
    },
    tell: ({ message }) => told.push(message),
    onFailure: () => outcomes.push('failed'),
    interfaceName: () => undefined,
    nowMs: () => 0,
  });
  const backends = new Map(stored.map((it) => [`p/${it.name}`, it]));
  await mux.applyVersion(cleanVersion({ ...EMPTY_STATE, backends }), undefined);
  return { change: (address: string, path: Path) => change(address, path), outcomes, told };
}

const nextHop = { ifindex: 2, destinationMac: '02:00:00:00:00:01', sourceMac: '02:00:00:00:00:02' };

it('writes all paths that change together in one go, whatever they cost', async () => {
  const written: ReadonlyMap<number, BackendConfig>[] = [];
  const { change, outcomes, told } = await role(async (configs) => written.push(configs));
  for (const { address } of stored) change(address, { nextHop, mtuBytes: 1_500 });
  change(stored[0]!.address, { mtuBytes: 1_400 });
  await new Promise((resolve) => setImmediate(resolve));
  expect(written).toHaveLength(1);
  expect(written[0]!.size).toBe(ADDRESSES);
  expect(written[0]!.get(1)).toMatchObject({ mtuBytes: 1_400 });
  expect(written[0]!.get(2)).toMatchObject({ nextHop, mtuBytes: 1_500 });
  expect(outcomes).toEqual([]);
  expect(told).toEqual(['the paths to 1000 addresses changed: next hops to 999 are known']);
});

it('tells that paths could not be written, once', async () => {
  let fails = true;
  const { change, outcomes, told } = await role(async () => {
    if (fails) throw new Error('no memory');
    return 1;
  });
  change(stored[0]!.address, {});
  await new Promise((resolve) => setImmediate(resolve));
  fails = false;
  change(stored[1]!.address, { nextHop, mtuBytes: 1_500 });
  await new Promise((resolve) => setImmediate(resolve));
  expect(outcomes).toEqual(['failed']);
  expect(told).toEqual([
    'no route leads to 198.18.0.0',
    '198.18.0.1 is reached by 02:00:00:00:00:01, MTU 1500',
  ]);
});
