// Packets of tracked slots that fit to the backend, but not behind a header to the owner: base has them, and some tell
// their sender what does fit.
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { ClusterMux, type ClusterMux as Mux, tcpPacket } from './lib/cluster_mux.ts';
import { frame, payload } from './lib/packets.ts';
import { moved } from './lib/rig.ts';
import { INCARNATION } from './lib/tracked_mux.ts';

const OWNER = 1;
const BYTES_MAX = 1400;
/** Bits 24 and up of the time in nanoseconds say whose turn it is; there are 64 turns. */
const TURN_NS = 1n << 24n;
const TURNS = 64;
const FLOWS = 40;

let mux: Mux;
beforeAll(() => {
  mux = ClusterMux.make();
});
beforeEach(() => {
  mux.reset();
  const incarnations = { ownerIncarnation: INCARNATION(OWNER), backupIncarnation: INCARNATION(3) };
  mux.setSlots('tcp', 2, 1, { owner: OWNER, backup: 3, trackEpoch: 5, chainEpoch: 5, ...incarnations });
  mux.setPeer(OWNER, { innerMtu: BYTES_MAX });
});
afterAll(() => mux?.close());

/** A packet of a flow, of so many bytes from its IP header on. */
const packetOf = (port: number, bytes: number): Uint8Array =>
  frame(tcpPacket(port, { data: payload(bytes - 40) }).datagram);

/** Reasons of a flow's packets over one round of turns. */
function round(port: number, bytes = BYTES_MAX + 1): Record<string, number> {
  const before = mux.counts();
  for (let turn = 0; turn < TURNS; turn++) {
    mux.run(packetOf(port, bytes));
    mux.advanceNs(TURN_NS);
  }
  return moved(before, mux.counts());
}

it('tells each flow once a round, and serves the others by base, unrecorded', () => {
  for (let port = 1000; port < 1000 + FLOWS; port++)
    expect(round(port)).toEqual({
      REPLY_TOO_BIG: 1,
      FORWARD_UNRECORDED: TURNS - 1,
      FLOW_TOO_BIG: TURNS - 1,
    });
});

it('asks for what just fits', () => {
  expect(round(1000, BYTES_MAX)).toEqual({ ASK: TURNS });
});
