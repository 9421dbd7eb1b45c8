// Owns measuring how long an owner of a million flows has no backup that knows them: a mux goes while a change is open,
// and what another one owns is copied to the third. The owner's table is filled beside its daemon, and what came of it is
// compared with the backup's, entry by entry. Streams go through both meanwhile.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BpfMap } from 'libbpf-ts';
import { chainsOf } from '../../../control/cluster/chain.ts';
import type { Placement, Version } from '../../../control/cluster/version.ts';
import {
  type FlowMessageEntry,
  FlowState,
  flowBucketCodec,
  Limit,
} from '../../../control/dataplane/generated/layout.ts';
import { documentOf, WEIGHT } from '../../lab/configuration.ts';
import { PACKETS_PER_SECOND, type StreamsResult, startStreams } from '../../lab/flows.ts';
import { Lab, type LabMux } from '../../lab/lab.ts';
import { pinDirectory } from '../../lab/state.ts';
import { isCommitted } from '../../lab/versions.ts';
import { ClusterWatch } from '../../lab/watch.ts';
import type { Report } from '../lib/report.ts';

const FLOWS = 1_000_000;
/** Six of the seven places of a bucket are filled: a flow of a stream must not take one of a flow that is copied. */
const FLOW_ENTRIES = 1_200_000;
const MUST_MS = 2_000;
/** A stream of the same machine has gaps without a copy, too. */
const GAP_MUST_MS = 100;
const QUIET_MS = 2_000;
const AFTER_MS = 300;
const IDLE_S = 300;
const COPIED = 'flows were copied to a new backup';
const NS_PER_MS = 1_000_000n;

export async function measureCopy(report: Report): Promise<void> {
  const size = { clients: 1, muxes: 3, backends: 6, flowEntries: FLOW_ENTRIES };
  const lab = await Lab.raise({ name: `c${process.pid}`, ...size });
  try {
    const watch = await ClusterWatch.open(lab.plan.name);
    try {
      await measure(report, lab, watch);
    } finally {
      await watch.close();
    }
  } finally {
    await lab.down();
  }
}

async function measure(report: Report, lab: Lab, watch: ClusterWatch): Promise<void> {
  const [owner, backup, going] = lab.muxes as [LabMux, LabMux, LabMux];
  await watch.becomes('three muxes are members', () => watch.head.members.length === 3 && watch.isInEffect());
  await lab.apply(weighted(lab));
  await watch.becomes('a change is open', () => isCommitted(watch.head) && watch.isInEffect());
  lab.useMuxes(owner, backup);
  const entries = flowsOwnedBy(owner, watch.head);
  using ownTable = tableOf(lab, owner);
  using backupTable = tableOf(lab, backup);
  fill(ownTable, entries);
  const quiet = await streamed(lab, [owner, backup], () => sleep(QUIET_MS));
  const busy = await streamed(lab, [owner, backup], async () => {
    await going.daemon.client.detach({});
    await watch.becomes('the flows are copied', () => hasCopied(watch, owner));
    await sleep(AFTER_MS);
  });
  const { tookMs, flows } = copiedBy(owner);
  // Those of streams come on top.
  if (flows < FLOWS) throw new Error(`${flows} flows were copied, not ${FLOWS}`);
  verify(ownTable, backupTable);
  report.add({ case: 'copy-1m-flows-ms', unit: 'ms', value: tookMs, must: { atMost: MUST_MS } });
  report.add({ case: 'copy-lost-packets', unit: 'packets', value: busy.lost, must: { atMost: 0 } });
  report.add({ case: 'copy-gap-ms', unit: 'ms', value: busy.gapMs, must: { atMost: GAP_MUST_MS } });
  report.add({ case: 'no-copy-gap-ms', unit: 'ms', value: quiet.gapMs });
}

/** Streams through these muxes while something happens. */
async function streamed(
  lab: Lab,
  muxes: readonly LabMux[],
  work: () => Promise<unknown>,
): Promise<StreamsResult> {
  const names = muxes.map(({ node }) => node.name);
  const streams = await startStreams(lab, names, [lab.plan.services4[0]!], PACKETS_PER_SECOND);
  await work();
  const result = await streams.stop();
  if (result.sent < (PACKETS_PER_SECOND * muxes.length * QUIET_MS) / 2_000)
    throw new Error(`only ${result.sent} packets were sent`);
  return result;
}

/** The mux says so for the chains as they are without the one that went. */
function hasCopied(watch: ClusterWatch, { node }: LabMux): boolean {
  const { head, said } = watch;
  if (head.members.length !== 2 || !watch.isInEffect()) return false;
  const { reports = [] } = said.acknowledgements.get(node.name) ?? {};
  const { periods } = placementOf(head);
  return periods.every(({ trackEpoch, chainEpoch }) =>
    reports.some((it) => it.trackEpoch === trackEpoch && it.copiedChainEpoch === chainEpoch),
  );
}

/** What its daemon has logged of it. */
function copiedBy({ daemon }: LabMux): { tookMs: number; flows: number } {
  const lines = readFileSync(daemon.logPath, 'utf8').split('\n');
  const copies = lines.filter((line) => line.includes(COPIED));
  if (copies.length !== 1) throw new Error(`${copies.length} copies are logged in ${daemon.logPath}`);
  console.error(copies[0]);
  return JSON.parse(copies[0]!) as { tookMs: number; flows: number };
}

function weighted({ plan }: Lab) {
  const document = documentOf(plan);
  return {
    ...document,
    // Flows that nobody hears of last for as long as this takes.
    services: document.services.map((it) => ({ ...it, idleTimeoutMs: IDLE_S * 1_000 })),
    backends: document.backends.map((it, index) => (index < 2 ? { ...it, weight: WEIGHT / 10 } : it)),
  };
}

const placementOf = ({ placements }: Version): Placement => placements.values().next().value!;

/** Flows of tracked slots of one owner, of the backends that the slots had; no two in one place of its table. */
function flowsOwnedBy({ node }: LabMux, version: Version): FlowMessageEntry[] {
  const { period, periods, base } = placementOf(version);
  const { id } = version.members.find(({ name }) => name === node.name)!;
  const generations = new Map(
    [...version.objects.backends.values()].map(({ index, generation }) => [index, generation]),
  );
  const chains = periods.map((it) => chainsOf(it, version.members));
  const slots = [...period.entries()]
    .filter(([slot, number]) => number > 0 && chains[number - 1]!(slot)?.owner.id === id)
    .map(([slot]) => slot);
  const seen = Number((process.hrtime.bigint() >> BigInt(Limit.LIMIT_FLOW_TIME_SHIFT)) & 0xffffn);
  const idleTime = Number((BigInt(IDLE_S * 1_000) * NS_PER_MS) >> BigInt(Limit.LIMIT_FLOW_TIME_SHIFT));
  return Array.from({ length: FLOWS }, (_, index): FlowMessageEntry => {
    const slot = slots[index % slots.length]!;
    const { trackEpoch, chainEpoch } = periods[period[slot]! - 1]!;
    return {
      fingerprint: (within(slot, period.length, index) << 32n) | within(index % BUCKETS, BUCKETS, index),
      entry: {
        slot,
        track_epoch: trackEpoch,
        client: 0,
        chain_epoch: chainEpoch & 0xffff,
        backend: base[slot]!,
        generation: generations.get(base[slot]!)!,
        seen,
        idle_time: idleTime,
        state: FlowState.FLOW_STATE_TRUSTED,
        protocol: 17,
      },
    };
  });
}

/** Of a place, in `states` of its bucket. */
const STATE_BITS = 2;
const BUCKETS = Math.ceil(FLOW_ENTRIES / Limit.LIMIT_FLOW_PLACES);

/** Half of a hash that chooses `index` of `count`, another one for each `seed` that follows the one before. */
function within(index: number, count: number, seed: number): bigint {
  const width = Math.floor(2 ** 32 / count);
  return BigInt(Math.ceil((index * 2 ** 32) / count) + (seed % (width - 1)));
}

function tableOf({ plan }: Lab, { node }: LabMux): BpfMap {
  return BpfMap.openPinned(join(pinDirectory(plan.name), node.name, 'mux', 'maps', 'flow_table'));
}

/** The pool of a lab is the first of its muxes: its slots are theirs. */
function fill(table: BpfMap, entries: readonly FlowMessageEntry[]): void {
  if (table.info.maxEntries !== BUCKETS)
    throw new Error(`the table has ${table.info.maxEntries} buckets, not ${BUCKETS}`);
  const bytes = new Uint8Array(flowBucketCodec.sizeBytes);
  const view = new DataView(bytes.buffer);
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const empty = flowBucketCodec.read(new DataView(new ArrayBuffer(bytes.length)), 0);
    const place = empty.place.map((free, at) => entries[at * BUCKETS + bucket] ?? free);
    const states = place.reduce((all, it, at) => all | (it.entry.state << (at * STATE_BITS)), 0);
    flowBucketCodec.write(view, 0, { ...empty, states, place });
    table.update(Uint32Array.of(bucket), bytes);
  }
}

/** Each flow of the one table is in the other, and goes to the same server. */
function verify(ownTable: BpfMap, backupTable: BpfMap): void {
  let found = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const [own, theirs] = [ownTable, backupTable].map((table) => {
      const bytes = table.lookup(Uint32Array.of(bucket))!;
      const { place } = flowBucketCodec.read(new DataView(bytes.buffer, bytes.byteOffset), 0);
      return new Map(
        place
          .filter(({ entry }) => entry.state === FlowState.FLOW_STATE_TRUSTED)
          .map(({ fingerprint, entry }) => {
            const { slot, track_epoch: epoch, backend, generation, state } = entry;
            return [fingerprint, [slot, epoch, backend, generation, state].join(' ')];
          }),
      );
    }) as [Map<bigint, string>, Map<bigint, string>];
    for (const [fingerprint, known] of own) if (theirs.get(fingerprint) === known) found++;
  }
  if (found < FLOWS) throw new Error(`the backup knows ${found} of ${FLOWS} flows`);
}
